# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The module dies, sleeps, or works beside another of its kind: the store shows nothing bad, and what is durable is never fetched again."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import time

import pytest
from support.hub import Hub
from support.models_run import ModelsRunner

KILLS = 100
SIZES = [3_000_000, 2_500_000, 2_000_000, 1_500_000, 1_000_000, 70_000]
NAMES = [f"model-{number}.gguf" for number in range(len(SIZES))]
CONTENT = {name: b"GGUF\3\0\0\0" + random.Random(name).randbytes(size - 8) for name, size in zip(NAMES, SIZES, strict=True)}
SHA256 = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
# Nobody publishes a digest of this one: of what an earlier run left of it only the beginning can be proved.
UNPUBLISHED = NAMES[2]
# What is seconds in life is less here; the journal above all, for these files are done before it would first be written.
QUICK = {"_model_ranges.JOURNAL_SECONDS": [0.03], "_model_put.WAIT_INTERVAL": 0.02}


@pytest.fixture(name="hub")
def fixture_hub(tmp_path):
    root = tmp_path / "hub"
    root.mkdir()
    for name, content in CONTENT.items():
        (root / name).write_bytes(content)
    with Hub(root, rate=3_000_000) as hub:
        yield hub


@pytest.fixture(name="runner", scope="module")
def fixture_runner(tmp_path_factory):
    with ModelsRunner(tmp_path_factory.mktemp("results"), **QUICK) as runner:
        yield runner


@pytest.fixture(name="start")
def fixture_start(hub, runner, tmp_path):
    """Starts the module on one of several machines, which share a store and nothing else; whatever still runs at the end is killed."""
    runs = []

    def start(machine="a", store=tmp_path / "store", **params):
        entries = [{"name": name, "directory": "unet", "url": f"{hub.url}/files/{name}"} for name in NAMES]
        for entry in entries:
            entry["sha256"] = SHA256[entry["name"]] if entry["name"] != UNPUBLISHED else None
        arguments = {"store": str(store), "state_dir": str(tmp_path / machine), "models": entries, "allowed_hosts": [hub.url]}
        runs.append(runner.start({**arguments, "reserve": 0, "timeout_seconds": 5, "progress_seconds": 0, **params}))
        return runs[-1]

    yield start
    for run in runs:
        run.kill()


def wait_until(condition, run):
    given_up = time.monotonic() + 30
    while not condition():
        assert run.poll() is None, run.result()
        assert time.monotonic() < given_up, "it never happened"
        time.sleep(0.005)


def see_only_whole_files(store):
    """Whatever has a plain name is what it should be."""
    for path in store.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            assert path.read_bytes() == CONTENT[path.name], f"{path} is not whole"


def see_all(store, killed=False):
    """All models are there, and else nothing; a claim or a journal of what is done may outlive who was killed, but no bytes."""
    see_only_whole_files(store)
    names = sorted(path.name for path in store.rglob("*") if path.is_file())
    assert [name for name in names if not (killed and name.startswith(".") and name.endswith((".claim", ".json")))] == NAMES


def is_waiting(folder):
    """Whether a machine waits for another one, as far as it says so."""
    try:
        return bool(json.loads((folder / "models.progress.json").read_text())["waiting"])
    except FileNotFoundError:
        return False


def sent(hub, name):
    """Bytes of a file's body that left, without the questions for its first byte."""
    asked = [request for request in list(hub.requests) if request["path"] == f"/files/{name}"]
    return sum(request["sent"] for request in asked if request["headers"].get("Range") != "bytes=0-0")


def test_two_modules_on_one_store_fetch_each_file_once(hub, start, tmp_path):
    runs = [start("a"), start("b")]
    results = [run.result() for run in runs]
    assert not any(result.get("failed") for result in results), results
    for first, second in zip(*(result["models"] for result in results), strict=True):
        assert sorted([first["state"], second["state"]]) == ["downloaded", "present"]
        assert first["sha256"] == second["sha256"] == SHA256[first["name"]]
    see_all(tmp_path / "store")
    # Two connections at the end of a file may race for it; two downloads would be twice as much.
    assert all(sent(hub, name) < 1.5 * len(CONTENT[name]) for name in NAMES)


def test_what_is_known_to_one_machine_is_hashed_by_the_other_and_not_downloaded(hub, start, tmp_path):
    assert not start("a").result().get("failed")
    before = hub.sent()
    result = start("b").result()
    assert not result["changed"] and {row["state"] for row in result["models"]} == {"present"}
    assert hub.sent() - before <= len(NAMES)


def test_the_other_takes_over_where_one_is_killed(hub, start, tmp_path):
    hub.rate = 1_000_000
    first = start("a")
    wait_until(lambda: hub.sent() > 1_500_000, first)
    second = start("b")
    wait_until(lambda: is_waiting(tmp_path / "b"), second)
    first.kill()
    see_only_whole_files(tmp_path / "store")
    result = second.result()
    assert not result.get("failed"), result
    see_all(tmp_path / "store", killed=True)
    assert sum(sent(hub, name) for name in NAMES) < 1.5 * sum(SIZES)


def test_the_other_takes_over_where_one_sleeps_for_too_long_and_then_wakes(hub, start, tmp_path):
    hub.rate = 1_000_000
    first = start("a", claim_seconds=1)
    wait_until(lambda: hub.sent() > 1_500_000, first)
    first.signal(signal.SIGSTOP)
    result = start("b", claim_seconds=1).result()
    assert not result.get("failed"), result
    see_only_whole_files(tmp_path / "store")
    inodes = {name: (tmp_path / "store/unet" / name).stat().st_ino for name in NAMES}
    first.signal(signal.SIGCONT)
    result = first.result()
    assert not result.get("failed"), result
    see_all(tmp_path / "store")
    # Who woke left alone what the other had put there.
    assert inodes == {name: (tmp_path / "store/unet" / name).stat().st_ino for name in NAMES}
    assert {row["sha256"] for row in result["models"]} == set(SHA256.values())


def journalled(store):
    """By model: the parts of it that the journal of an unfinished download calls durable; they must be right."""
    durable = {}
    for journal in store.rglob(".*.part.json"):
        part = journal.with_name(journal.name.removesuffix(".json"))
        if not part.exists():
            continue
        [name] = [name for name in NAMES if part.name.startswith(f".{name}.")]
        data = json.loads(journal.read_text())
        extents = data["extents"]
        content = part.read_bytes()
        for first, end in extents:
            assert content[first:end] == CONTENT[name][first:end], f"{journal} lies about {first}-{end}"
        if name == UNPUBLISHED:
            proved = max(map(int, data["checkpoints"]), default=0)
            extents = [[first, min(end, proved)] for first, end in extents if first < proved]
        durable[name] = max(durable.get(name, []), extents, key=lambda parts: sum(end - first for first, end in parts))
    return durable


def test_a_hundred_kills_leave_nothing_bad_and_lose_nothing_durable(hub, start, tmp_path):
    """Each run is killed at any moment of its life; when all is there, it begins anew with an empty store."""
    chance = random.Random(4)
    store, stores, resumed, kept = tmp_path / "store-0", 1, 0, 0
    durable: dict[str, list] = {}
    for _kill in range(KILLS):
        before = len(hub.requests)
        hub.rate = chance.choice([3_000_000, 8_000_000, None])
        run = start(store=store)
        if chance.random() < 0.9:
            wait_until(lambda before=before, run=run: len(hub.requests) > before or run.poll() is not None, run)
        time.sleep(chance.uniform(0, 0.4))
        run.kill()
        see_only_whole_files(store)
        for name, extents in durable.items():
            asked = [request for request in hub.requests[before:] if request["path"] == f"/files/{name}" and request["sent"]]
            for request in asked:
                first, end = request["range"] or (0, request["sent"])
                if request["headers"].get("Range") != "bytes=0-0":
                    resumed += 1
                    again = [extent for extent in extents if extent[0] < min(end, first + request["sent"]) and first < extent[1]]
                    assert not again, f"{name}: {first}-{end} was asked for, though {again} were there"
        before_it, durable = durable, journalled(store)
        for name, extents in before_it.items():
            there = (store / "unet" / name).exists() or all(is_within(extent, durable.get(name, [])) for extent in extents)
            assert there, f"{name}: {extents} were there, {durable.get(name)} are left"
        kept += bool(durable)
        state = tmp_path / "a/models.json"
        assert not state.exists() or json.loads(state.read_text())["files"] is not None
        if all((store / "unet" / name).exists() for name in NAMES):
            see_the_end_of_it(start, store)
            store, stores, durable = tmp_path / f"store-{stores}", stores + 1, {}
    see_the_end_of_it(start, store)
    assert kept > KILLS // 4 and resumed > KILLS // 4 and stores > 5, "the kills came too early or too late to prove anything"


def is_within(extent, extents):
    return any(first <= extent[0] and extent[1] <= end for first, end in extents)


def see_the_end_of_it(start, store):
    result = start(store=store).result()
    assert not result.get("failed"), result
    assert {row["name"]: row["sha256"] for row in result["models"]} == SHA256
    see_all(store, killed=True)
