# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The outside world over HTTP: git's smart protocol for repositories, plain files for everything else.

/git/<name>.git       anyone may read
/private/<name>.git   basic authentication, any user name, the token as password
/…                    files, the apt repository among them
"""

from __future__ import annotations

import argparse
import base64
import hmac
import os
import re
import shutil
import subprocess
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

REPOSITORY = re.compile(r"/(?P<area>git|private)/(?P<name>[A-Za-z0-9._-]+?)(?:\.git)?/(?P<rest>info/refs|git-upload-pack)")


class Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *args, outside, www, **kwargs):
        self.outside = outside
        super().__init__(*args, directory=str(www), **kwargs)

    def do_GET(self):
        if not self.answer_git():
            super().do_GET()

    def do_POST(self):
        if not self.answer_git():
            self.send_error(HTTPStatus.NOT_FOUND)

    def answer_git(self):
        """True when the request was for a repository, found or not."""
        url = urlsplit(self.path)
        path = unquote(url.path)
        if not path.startswith(("/git/", "/private/")):
            return False
        self.close_connection = True
        match = REPOSITORY.fullmatch(path)
        if path.startswith("/private/") and not self.is_authorised():
            self.send_response(HTTPStatus.UNAUTHORIZED)
            self.send_header("WWW-Authenticate", 'Basic realm="outside.test"')
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif match and (self.outside / match["area"] / f"{match['name']}.git").is_dir():
            self.run_backend(match, url.query)
        else:
            self.send_error(HTTPStatus.NOT_FOUND, "Repository not found.")
        return True

    def is_authorised(self):
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        try:
            password = base64.b64decode(value).decode().partition(":")[2]
        except ValueError:
            return False
        token = (self.outside / "token").read_text().strip()
        return scheme.lower() == "basic" and hmac.compare_digest(password.encode(), token.encode())

    def run_backend(self, match, query):
        """Hand the request to git's own CGI program and stream what it says."""
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "GIT_PROJECT_ROOT": str(self.outside / match["area"]),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "PATH_INFO": f"/{match['name']}.git/{match['rest']}",
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_ADDR": self.client_address[0],
        }
        backend = subprocess.Popen(["git", "http-backend"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        try:
            backend.stdin.write(self.read_body())
            backend.stdin.close()
        except BrokenPipeError:
            pass  # git has already refused; its answer says why
        headers = {}
        for line in iter(backend.stdout.readline, b"\r\n"):
            if not line:
                break
            name, _, value = line.decode().partition(":")
            headers[name] = value.strip()
        status = headers.pop("Status", "200 OK").split(" ", 1)[0]
        self.send_response(int(status))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            shutil.copyfileobj(backend.stdout, self.wfile)
        except (BrokenPipeError, ConnectionResetError):
            backend.kill()
        backend.stdout.close()
        backend.wait()

    def read_body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body


def serve(port, outside, www, listen="0.0.0.0"):
    return ThreadingHTTPServer((listen, port), partial(Handler, outside=Path(outside), www=Path(www)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--outside", type=Path, required=True)
    parser.add_argument("--www", type=Path, required=True)
    options = parser.parse_args()
    serve(options.port, options.outside, options.www).serve_forever()


if __name__ == "__main__":
    main()
