# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The store that was filled, and what happens to it over the years."""

from __future__ import annotations

import json
import subprocess

from support.sandbox.outside import MODELS, MORE_MODELS, Model

from .conftest import BOTH, CONTAINER, STATE, STORE, begin, bring, end, wait_for

PEER = "/workspace/peer"
FILLED = {f"{model.directory}/{model.name}": model for model in MODELS + MORE_MODELS}
NOW = {"models_cleanup_minimum_age_hours": 0, "models_dry_run": False}


def test_models_came_from_every_kind_of_source_and_are_whole(store, hub):
    index = store.index()
    for label, model in FILLED.items():
        assert store.machine.file(f"{STORE}/{label}").content == model.content(), label
    sources = {label: index[f"{STORE}/{label}"]["source"] for label in FILLED}
    assert sources["loras/sandbox_lora.safetensors"].startswith("http://outside.test:8100/emprops/sandbox/resolve/0123456789")
    assert sources["loras/sandbox_unpublished.safetensors"].endswith("/files/emprops/sandbox/sandbox_unpublished.safetensors")
    assert sources["text_encoders/sandbox_civitai.safetensors"].endswith("/api/download/models/4711?fileId=471100")
    assert sources["upscale_models/sandbox_share.safetensors"] == "file:///srv/share/sandbox_share.safetensors"
    assert {label for label in FILLED if index[f"{STORE}/{label}"]["first_seen"]} == {
        "loras/sandbox_unpublished.safetensors",
        "upscale_models/sandbox_share.safetensors",
    }


def test_the_same_bytes_are_one_file_that_was_downloaded_once(store, hub):
    first, second = (store.machine.check_output("stat --format=%%d:%%i %s", f"{STORE}/{label}") for label in (
        "checkpoints/sandbox_checkpoint.safetensors",
        "diffusion_models/same_bytes.safetensors",
    ))  # fmt: skip
    assert first == second
    assert hub.sent("/files/emprops/sandbox/sandbox_checkpoint.safetensors") < 10  # questions for its first byte


def test_instances_list_the_models(world):
    assert world.wait()
    for port in world.ports:
        for label in FILLED:
            directory, name = label.split("/")
            assert name in world.get(port, f"/models/{directory}")


def test_no_token_is_anywhere_on_the_machine(store, hub):
    token = (hub.folder / "token").read_text(encoding="utf-8").strip()
    found = store.machine.run("grep -rlF -- %s /workspace/shared /workspace/state /workspace/peer /etc /var/log /root /home", token)
    assert found.stdout == ""


def test_the_peer_copied_from_the_seed_and_asked_no_hub(store, hub):
    index = store.index(f"{PEER}/state")
    for label, model in FILLED.items():
        entry = index[f"{PEER}/shared/models/{label}"]
        assert entry["source"] == f"ssh+store://comfyui-seed@127.0.0.1/{label}"
        assert entry["sha256"] == store.index()[f"{STORE}/{label}"]["sha256"]
        assert store.machine.file(f"{PEER}/shared/models/{label}").content == model.content(), label
    storage = "/cdn/emprops/gated/sandbox_gated.safetensors"
    assert hub.sent(storage) < 2 * FILLED["vae/sandbox_gated.safetensors"].floats * 4


def test_the_peers_key_reads_models_and_nothing_else(store):
    key, known = f"{PEER}/state/models_seed_key", f"{PEER}/state/models_seed_known_hosts"
    assert (store.machine.file(key).user, store.machine.file(key).mode) == ("root", 0o600)
    options = f"-i {key} -o UserKnownHostsFile={known} -o StrictHostKeyChecking=yes -o BatchMode=yes"
    refused = store.machine.run(f"ssh {options} comfyui-seed@127.0.0.1 id")
    assert refused.rc != 0
    assert "this key only reads models" in refused.stderr
    outside = store.machine.run(f"ssh {options} comfyui-seed@127.0.0.1 'emprops-models read 0 ../../etc/shadow'")
    assert (outside.rc != 0, outside.stdout) == (True, "")
    forwarded = store.machine.run(f"ssh {options} -N -o ExitOnForwardFailure=yes -R 0:127.0.0.1:22 comfyui-seed@127.0.0.1")
    assert forwarded.rc != 0


def test_what_the_seed_does_not_hand_out_comes_from_its_own_address(store):
    label = "loras/sandbox_lora.safetensors"
    store.machine.check_output("rm %s && chmod 000 %s", f"{PEER}/shared/models/{label}", f"{STORE}/loras")
    try:
        outcome = bring(machines=BOTH)
    finally:
        store.machine.check_output("chmod 755 %s", f"{STORE}/loras")
    assert outcome.code == 0, outcome.output
    assert store.index(f"{PEER}/state")[f"{PEER}/shared/models/{label}"]["source"].startswith("http://outside.test:8100/")


def test_a_machine_that_leaves_the_inventory_is_let_in_no_more(store):
    file = store.machine.file(f"{STATE}/seed/.ssh/authorized_keys")
    assert file.content_string.endswith(" peer\n")
    outcome = bring(machines=())
    assert outcome.code == 0, outcome.output
    assert file.content_string == ""
    # A run of the other alone cannot set it up again, says so, and gets its models elsewhere.
    store.machine.check_output("rm -r %s %s", f"{PEER}/state", f"{PEER}/shared/models/vae")
    outcome = bring(machines=(*BOTH, "--limit", "peer"))
    assert outcome.code == 0, outcome.output
    assert "sandbox is not set up as the seed of this machine" in outcome.plain
    assert store.machine.file(f"{PEER}/shared/models/vae/sandbox_gated.safetensors").exists


def test_a_killed_download_goes_on_where_it_was_and_two_runs_share_the_rest(store, hub):
    """Played, killed in the middle, then played by two at once: the bytes that were on the disk leave the hub no second time."""
    file = hub.offer("killed.safetensors", 48)
    hub.set(rate=2_000_000)
    wanted = {"models_list": [file.entry()], "models_connections": 4}
    first = begin(**wanted)
    wait_for(lambda: first.poll() is not None or is_on_its_way(store, file.name, 12_000_000))
    assert first.poll() is None, end(first).output
    store.machine.check_output("kill -9 %s", str(store.progress()["pid"]))
    outcome = end(first)
    assert outcome.code != 0
    assert "what has arrived is kept for the next run" in outcome.plain
    assert "sandbox | models: 1 of 1 are missing: 50.3 MB to download" in outcome.output
    assert "sandbox | models 0/1 files, " in outcome.output

    assert not store.has(f"checkpoints/{file.name}")
    journal = next(name for name in store.hidden("checkpoints") if name.endswith(".part.json"))
    extents = json.loads(store.machine.file(f"{STORE}/checkpoints/{journal}").content_string)["extents"]
    durable = sum(stop - start for start, stop in extents)
    assert durable > 4_000_000
    before = hub.sent(file.path)
    hub.set(rate=6_000_000)
    outcomes = [end(run) for run in [begin(**wanted), begin(**wanted)]]
    assert [outcome.code for outcome in outcomes] == [0, 0], "\n".join(outcome.output for outcome in outcomes)
    assert store.sha256(f"checkpoints/{file.name}") == file.sha256
    # A little more is asked for: first bytes, and what was on its way on a connection that was not needed any more.
    assert hub.sent(file.path) - before < file.size - durable + 1_000_000
    assert not [name for name in store.hidden("checkpoints") if "killed" in name]
    # Both brought it, or the one found what the other had brought.
    assert any("1 brought" in outcome.output for outcome in outcomes)


def is_on_its_way(store, name, count):
    journals = [hidden for hidden in store.hidden("checkpoints") if name in hidden and hidden.endswith(".part.json")]
    return bool(journals) and store.progress()["bytes"]["done"] >= count


def test_a_link_signed_on_the_controller_is_all_that_the_machine_gets(store, hub):
    """By addresses that both the controller and the machine reach."""
    inspect = ["docker", "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", f"{CONTAINER}-outside"]
    address = subprocess.run(inspect, check=True, capture_output=True, text=True).stdout.strip()
    url = f"http://{address}:8100/emprops/gated/resolve/main/signed.safetensors"
    content = Model("signed.safetensors", "vae", 4096).content()
    (hub.folder / "hub/emprops/gated/signed.safetensors").write_bytes(content)
    outcome = bring(
        "-vvv",
        models_list=[{"name": "signed.safetensors", "directory": "vae", "url": url}],
        models_allowed_hosts=[f"http://{address}:8100", f"http://{address}:8101"],
        models_token_files={f"{address}:8100": str(hub.folder / "token")},
        models_tokens_stay_on_controller=True,
    )
    assert outcome.code == 0, outcome.output
    assert store.machine.file(f"{STORE}/vae/signed.safetensors").content == content
    token = (hub.folder / "token").read_text(encoding="utf-8").strip()
    assert token not in outcome.output
    assert "X-Amz-Signature" not in outcome.output
    assert "X-Amz" not in json.dumps(store.index())


def test_an_audit_finds_a_file_that_was_damaged_without_a_trace_and_the_next_run_mends_it(store):
    label = "checkpoints/sandbox_checkpoint.safetensors"
    path = f"{STORE}/{label}"
    store.machine.check_output(
        "cp --preserve %s /root/times && printf X | dd of=%s bs=1 seek=5000 conv=notrunc status=none && touch --reference=/root/times %s",
        path,
        path,
        path,
    )
    assert bring().changed == 0  # size and time are the same
    outcome = bring("--tags", "audit_models")
    assert outcome.code != 0
    assert f"{label}: its bytes changed, its size and time did not" in outcome.plain
    outcome = bring()
    assert outcome.code == 0, outcome.output
    for mended in (label, "diffusion_models/same_bytes.safetensors"):
        assert store.machine.file(f"{STORE}/{mended}").content == FILLED[label].content()


def test_files_in_the_wrong_folder_are_moved_and_static_links_made_after_a_dry_run(store):
    digest = store.put("clip/lost.safetensors")
    links = {"symlinks": [{"source": "loras/sandbox_lora.safetensors", "target": "loras/old_name.safetensors", "description": ""}]}
    subprocess.run(["docker", "exec", "-i", CONTAINER, "tee", "/root/static-models.json"], input=json.dumps(links).encode(), check=True)
    given = {"models_static_file": "/root/static-models.json", "models_cleanup_minimum_age_hours": 0}
    planned = bring("--tags", "organize_models", **given)
    assert planned.code == 0, planned.output
    assert "dry run: nothing was changed" in planned.plain
    assert "move: clip/lost.safetensors to text_encoders/lost.safetensors" in planned.plain
    assert store.has("clip/lost.safetensors")
    done = bring("--tags", "organize_models", **given, models_dry_run=False)
    assert done.code == 0, done.output
    assert not store.has("clip/lost.safetensors")
    assert store.sha256("text_encoders/lost.safetensors") == digest
    assert store.machine.check_output("readlink %s", f"{STORE}/loras/old_name.safetensors") == "sandbox_lora.safetensors"
    assert bring("--tags", "organize_models", **given, models_dry_run=False).changed == 0


def test_a_clean_up_takes_what_nobody_wants_and_nothing_else_and_can_be_taken_back(store):
    digest = store.put("loras/nobody.safetensors")
    store.put("loras/in_use.safetensors")
    store.put("loras/kept.safetensors")
    store.machine.check_output("systemd-run --unit=test-reader tail -f %s", f"{STORE}/loras/in_use.safetensors")
    keep = {"models_keep": ["loras/kept*", "text_encoders/*", "vae/*", "checkpoints/*"]}
    try:
        young = bring("--tags", "cleanup_models", **keep, models_dry_run=False)
        assert young.code == 0, young.output
        assert store.has("loras/nobody.safetensors")
        planned = bring("--tags", "cleanup_models", **keep, models_cleanup_minimum_age_hours=0)
        assert "dry run: nothing was changed" in planned.plain
        assert "quarantined: loras/nobody.safetensors" in planned.plain
        assert store.has("loras/nobody.safetensors")
        done = bring("--tags", "cleanup_models", **keep, **NOW)
    finally:
        store.machine.check_output("systemctl stop test-reader")
    assert done.code == 0, done.output
    assert not store.has("loras/nobody.safetensors")
    assert store.has("loras/in_use.safetensors") and store.has("loras/kept.safetensors")
    assert all(store.has(label) for label in FILLED)
    back = bring("--tags", "cleanup_models", models_restore=["loras/nobody.safetensors"], models_dry_run=False)
    assert back.code == 0, back.output
    assert store.sha256("loras/nobody.safetensors") == digest


def test_a_cache_stays_within_its_bound_and_keeps_what_is_declared(store):
    store.put("loras/cached.safetensors")
    outcome = bring(models_cache_max_bytes=1_000_000, models_cleanup_minimum_age_hours=0)
    assert outcome.code == 0, outcome.output
    assert "deleted: loras/cached.safetensors" in outcome.plain
    assert not store.has("loras/cached.safetensors")
    assert all(store.has(label) for label in FILLED)
    assert store.machine.check_output("find %s -xtype l", STORE) == ""
