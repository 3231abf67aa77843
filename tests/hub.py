"""A stand-in for the Hugging Face hub on this machine: repositories in a folder, and the few calls that pushing and
fetching a model make."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SHA = "0" * 40


@contextmanager
def hub(folder: Path) -> Iterator[str]:
    """The address of a hub whose repositories lie in ``folder``."""

    class Hub(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def answer(self, content: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") == "chunked":
                parts = []
                while size := int(self.rfile.readline().strip(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def do_POST(self) -> None:  # noqa: N802
            body = self.body()
            if self.path == "/api/validate-yaml":
                self.answer({"errors": [], "warnings": []})
            elif self.path == "/api/repos/create":
                name = json.loads(body)["name"]
                owner = json.loads(body).get("organization") or "me"
                (folder / owner / name).mkdir(parents=True, exist_ok=True)
                self.answer({"url": f"http://{self.headers['Host']}/{owner}/{name}", "name": f"{owner}/{name}"})
            elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/.*", self.path):
                files = json.loads(body)["files"]
                self.answer(
                    {"files": [{"path": x["path"], "uploadMode": "regular", "shouldIgnore": False} for x in files]}
                )
            elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/.*", self.path):
                for line in body.splitlines():
                    item = json.loads(line)
                    if item["key"] == "file":
                        (folder / match[1] / item["value"]["path"]).write_bytes(
                            base64.b64decode(item["value"]["content"])
                        )
                self.answer(
                    {
                        "commitUrl": f"http://{self.headers['Host']}/{match[1]}/commit/{SHA}",
                        "commitOid": SHA,
                        "success": True,
                    }
                )
            else:
                self.answer({"error": self.path}, 404)

        def do_GET(self) -> None:  # noqa: N802
            path = self.path.split("?")[0]
            if path == "/api/whoami-v2":
                self.answer({"name": "me", "type": "user", "auth": {"accessToken": {"role": "write"}}})
            elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(?:revision|tree)/([^/]+)", path):
                repo = folder / match[1]
                if not repo.is_dir():
                    self.answer({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
                elif "/tree/" in path:
                    self.answer(
                        [{"type": "file", "path": x.name, "size": x.stat().st_size, "oid": SHA} for x in repo.iterdir()]
                    )
                else:
                    files = [{"rfilename": x.name} for x in sorted(repo.iterdir())]
                    self.answer(
                        {"id": match[1], "sha": SHA, "siblings": files, "private": False, "tags": [], "downloads": 0}
                    )
            elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
                file = folder / match[1] / match[2]
                if not file.is_file():
                    self.answer({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
                    return
                content = file.read_bytes()
                self.answer(content, 200, {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": SHA})
            else:
                self.answer({"error": path}, 404)

        do_HEAD = do_GET  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
