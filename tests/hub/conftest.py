"""A stand-in for the hub: a real HTTP server with the endpoints that push and load use."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import unquote, urlsplit

import huggingface_hub.constants
import pytest

TOKEN = "hf_stand_in"
Files = dict[str, bytes]


@dataclass
class Repository:
    """Commits, each with all its files, and the branches that point to them."""

    private: bool
    commits: dict[str, Files] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, branch: str, files: Files) -> str:
        digest = hashlib.sha1(f"{len(self.commits)} {sorted(files)}".encode()).hexdigest()
        self.commits[digest] = files
        self.branches[branch] = digest
        return digest

    def files(self, revision: str) -> Files:
        return self.commits[self.branches.get(revision, revision)]


@dataclass
class Hub:
    """The server's state.

    faults: part of a request line -> the status to answer with; 0: hang up.
    hold: part of a request line that is not answered until the test ends; `held`: it has come.
    """

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)
    hold: str = ""
    held: Event = field(default_factory=Event)
    ended: Event = field(default_factory=Event)

    def files(self, name: str, revision: str = "main") -> Files:
        return self.repositories[name].files(revision)


class Refused(Exception):
    def __init__(self, status: int, code: str = "") -> None:
        super().__init__(status, code)
        self.status, self.code = status, code


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""

    def answer(self) -> None:
        line = f"{self.command} {unquote(urlsplit(self.path).path)}"
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        self.hub.requests.append(line)
        if self.hub.hold and self.hub.hold in line:
            self.hub.held.set()
            self.hub.ended.wait()
        try:
            for part, status in self.hub.faults.items():
                if part in line:
                    if not status:
                        self.close_connection = True
                        return
                    raise Refused(status)
            for pattern, method in ROUTES.items():
                if match := re.fullmatch(pattern, line):
                    status, content, headers = method(self, body, *match.groups())
                    break
            else:
                raise Refused(404)
        except Refused as refused:
            status, content = refused.status, b'{"error": "refused by the stand-in"}'
            headers = {"X-Error-Code": refused.code} if refused.code else {}
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_HEAD = answer

    def repository(self, name: str, write: bool = False) -> Repository:
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        found = self.hub.repositories.get(name)
        if write and not known:
            raise Refused(401)
        if found is None or (found.private and not known):
            raise Refused(404, "RepoNotFound")
        return found

    def at(self, name: str, revision: str) -> tuple[str, Files]:
        found = self.repository(name)
        commit = found.branches.get(revision, revision)
        if commit not in found.commits:
            raise Refused(404, "RevisionNotFound")
        return commit, found.commits[commit]

    def create(self, body: bytes) -> Any:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Refused(401)
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.hub.repositories:
            return 409, as_json({"url": f"{self.hub.url}/{name}"})[1], {}
        private = asked.get("private") or asked.get("visibility") == "private"
        made = self.hub.repositories[name] = Repository(bool(private))
        made.commit("main", {".gitattributes": b"*.safetensors filter=lfs\n"})
        return as_json({"url": f"{self.hub.url}/{name}"})

    def info(self, body: bytes, name: str, revision: str | None) -> Any:
        commit, files = self.at(name, revision or "main")
        siblings = [{"rfilename": path} for path in files]
        private = self.hub.repositories[name].private
        return as_json({"id": name, "sha": commit, "private": private, "siblings": siblings})

    def tree(self, body: bytes, name: str, revision: str) -> Any:
        _, files = self.at(name, revision)
        return as_json(
            [
                {"type": "file", "path": path, "size": len(content), "oid": etag(content)}
                for path, content in files.items()
            ]
        )

    def branch(self, body: bytes, name: str, branch: str) -> Any:
        found = self.repository(name, write=True)
        if branch in found.branches:
            raise Refused(409)
        found.branches[branch] = found.branches["main"]
        return as_json({})

    def valid(self, body: bytes) -> Any:
        return as_json({"errors": [], "warnings": []})

    def preupload(self, body: bytes, name: str, revision: str) -> Any:
        self.repository(name, write=True)
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs"
                if file["path"].endswith((".safetensors", ".onnx"))
                else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(body)["files"]
        ]
        return as_json({"files": files})

    def batch(self, body: bytes, name: str) -> Any:
        self.repository(name, write=True)
        objects = [
            {**entry, "actions": {"upload": {"href": f"{self.hub.url}/objects/{entry['oid']}"}}}
            for entry in json.loads(body)["objects"]
        ]
        return as_json({"objects": objects, "transfer": "basic"})

    def put(self, body: bytes, oid: str) -> Any:
        assert hashlib.sha256(body).hexdigest() == oid
        self.hub.objects[oid] = body
        return as_json({})

    def commit(self, body: bytes, name: str, revision: str) -> Any:
        found = self.repository(name, write=True)
        files = dict(found.files(revision))
        for entry in map(json.loads, body.splitlines()):
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
        commit = found.commit(revision, files)
        return as_json({"commitUrl": f"{self.hub.url}/{name}/commit/{commit}", "commitOid": commit})

    def resolve(self, body: bytes, method: str, name: str, revision: str, path: str) -> Any:
        commit, files = self.at(name, revision)
        if path not in files:
            raise Refused(404, "EntryNotFound")
        content = files[path]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{etag(content)}"'}
        return 200, content, headers


def as_json(value: Any) -> tuple[int, bytes, dict[str, str]]:
    return 200, json.dumps(value).encode(), {"Content-Type": "application/json"}


def etag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


NAME = r"([^/]+/[^/]+)"
ROUTES: dict[str, Any] = {
    "POST /api/repos/create": Handler.create,
    "POST /api/validate-yaml": Handler.valid,
    f"GET /api/models/{NAME}(?:/revision/(.+))?": Handler.info,
    f"GET /api/models/{NAME}/tree/(.+)": Handler.tree,
    f"POST /api/models/{NAME}/branch/(.+)": Handler.branch,
    f"POST /api/models/{NAME}/preupload/(.+)": Handler.preupload,
    f"POST /api/models/{NAME}/commit/(.+)": Handler.commit,
    rf"POST /{NAME}\.git/info/lfs/objects/batch": Handler.batch,
    "PUT /objects/([0-9a-f]{64})": Handler.put,
    f"(GET|HEAD) /{NAME}/resolve/([^/]+)/(.+)": Handler.resolve,
}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub of its own, which this process and the programs that it starts talk to."""
    state = Hub()
    handler = type("Handler", (Handler,), {"hub": state})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        cache = tmp_path / "cache"
        settings = {
            "HF_ENDPOINT": state.url, "HF_HUB_CACHE": str(cache / "hub"), "HF_HOME": str(cache),
            "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1", "TMPDIR": str(tmp_path),
        }  # fmt: skip
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        read_once = {  # by the client, when it is imported
            "ENDPOINT": state.url, "HF_HUB_CACHE": str(cache / "hub"), "HF_HUB_OFFLINE": False,
            "HF_HUB_DISABLE_XET": True, "HF_TOKEN_PATH": str(cache / "token"),
            "HUGGINGFACE_CO_URL_TEMPLATE": state.url + "/{repo_id}/resolve/{revision}/{filename}",
        }  # fmt: skip
        for name, constant in read_once.items():
            monkeypatch.setattr(huggingface_hub.constants, name, constant)
        monkeypatch.chdir(tmp_path)
        yield state
        state.ended.set()
        server.shutdown()
