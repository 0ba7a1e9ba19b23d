# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""A machine to try the collection on, and the outside world it needs, as containers of this computer.

prerequisites.py   what this computer lacks, with the command that fixes it
image.py           the bare machine's image, from this computer's own apt source
outside.py         what the outside world serves: git repositories, models, packages; keys and a token
containers.py      the two containers, their network and volumes
__main__.py        python3 -m support.sandbox ready | up | status | where | down

.sandbox/                       nothing outside it is written
├── dockerd.log, dockerd.pid    only when we had to start dockerd
└── <name>/
    ├── sandbox.json            what inventories/sandbox reads
    ├── id_ed25519, known_hosts how Ansible gets in
    └── outside/                seen by the outside container as /srv/outside
        ├── git/*.git           served by http://outside.test/git/<name>.git; push here to move them
        ├── private/shared.git  served to a deploy key by SSH and to a token by HTTP
        ├── hub/                served by the model hub, port 8100
        └── deploy_key, token, ssh_host_ed25519_key
"""
