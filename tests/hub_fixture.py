"""A local stand-in of the Hugging Face hub: what huggingface_hub requests to make, fill and read repositories.

Files whose name ends in .safetensors are uploaded by the large-file protocol, all others within the commit.
"""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from huggingface_hub import constants
from huggingface_hub.utils import disable_progress_bars

TOKEN = "hf_good"
OWNER = "me"


@dataclass
class Repository:
    """A repository with one branch."""

    private: bool = False
    gated: bool = False
    commits: list[dict[str, bytes]] = field(default_factory=lambda: [{".gitattributes": b""}])
    messages: list[str] = field(default_factory=lambda: ["initial commit"])
    tags: dict[str, int] = field(default_factory=dict)

    def find(self, revision):
        """The number of a commit by its id, tag or branch (another branch than main is a tag); None: there is none."""
        if revision == "main":
            return len(self.commits) - 1
        ids = {self.commit_id(number): number for number in range(len(self.commits))}
        return ids.get(revision, self.tags.get(revision))

    @property
    def files(self):
        """The newest files, by name."""
        return self.commits[-1]

    def commit_id(self, number):
        """40 hexadecimal digits."""
        return hashlib.sha1(f"{number} {self.messages[number]}".encode()).hexdigest()


class StandIn:
    """The server; `repositories` by name (of data sets behind datasets/), and `requests` as (method, path)."""

    def __init__(self):
        self.repositories = {}
        self.large = {}
        self.requests = []
        self.fails_at = None  # method whose requests are refused with HTTP 500
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        """Close the server."""
        self.server.shutdown()
        self.server.server_close()

    def downloaded(self):
        """The names of the files whose content was fetched."""
        paths = [path for method, path in self.requests if method == "GET" and "/resolve/" in path]
        return sorted(path.partition("/resolve/")[2].partition("/")[2] for path in paths)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    hub: StandIn

    def log_message(self, *arguments):
        """Nothing is logged."""

    def reply(self, value, status=200, headers=()):
        """Send JSON, or bytes as they are; of HEAD only the headers."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **dict(headers),
        }.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, code, message="refused"):
        """Send an error as the hub does."""
        self.reply({"error": message}, status, {"X-Error-Code": code, "X-Error-Message": message})

    def handle_any(self):
        """Find the endpoint of a request."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path))
        if self.hub.fails_at == self.command:
            return self.refuse(500, "Internal")
        for pattern, method in ENDPOINTS.items():
            if match := re.fullmatch(pattern, path):
                return method(self, body, **match.groupdict())
        return self.refuse(404, "NoEndpoint")

    do_GET = do_HEAD = do_POST = do_PUT = handle_any  # noqa: N815 (names that http.server looks for)

    @property
    def is_known(self):
        """Whether the request has the token."""
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def repository(self, repo):
        """The repository if the request may read it; otherwise it is refused as the hub does."""
        found = self.hub.repositories.get(repo)
        if found is None or (found.private and not self.is_known):
            self.refuse(404 if self.is_known else 401, "RepoNotFound", "Repository not found")
            return None
        if found.gated:
            self.refuse(403, "GatedRepo", "Access to this model is restricted")
            return None
        return found

    def create(self, body):
        """POST /api/repos/create."""
        values = json.loads(body)
        repo = f"{values['organization']}/{values['name']}"
        if not self.is_known:
            return self.refuse(401, "", "Invalid credentials in Authorization header")
        if values["organization"] != OWNER:
            return self.refuse(403, "", "You don't have the rights to create a model under this namespace")
        status = 409 if repo in self.hub.repositories else 200
        self.hub.repositories.setdefault(repo, Repository(private=values.get("visibility") == "private"))
        return self.reply({"url": f"{self.hub.url}/{repo}"}, status)

    def info(self, _body, repo, revision="main"):
        """GET /api/models/REPO/revision/REVISION."""
        if (found := self.repository(repo)) is None:
            return None
        if (number := found.find(revision)) is None:
            return self.refuse(404, "RevisionNotFound", "Invalid rev id")
        names = [{"rfilename": name} for name in found.commits[number]]
        return self.reply({"id": repo, "sha": found.commit_id(number), "siblings": names, "tags": []})

    def tree(self, _body, repo, revision):
        """GET /api/models/REPO/tree/REVISION."""
        if (found := self.repository(repo)) is None:
            return None
        entries = []
        for name, content in found.commits[found.find(revision)].items():
            entry = {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
            if name.endswith(".safetensors"):
                entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 1}
            entries.append(entry)
        return self.reply(entries)

    def resolve(self, _body, repo, revision, name):
        """HEAD and GET /REPO/resolve/REVISION/NAME."""
        if (found := self.repository(repo)) is None:
            return None
        if (number := found.find(revision)) is None:
            return self.refuse(404, "RevisionNotFound", "Invalid rev id")
        content = found.commits[number].get(name)
        if content is None:
            return self.refuse(404, "EntryNotFound")
        etag = hashlib.sha256(content).hexdigest()
        return self.reply(content, headers={"ETag": f'"{etag}"', "X-Repo-Commit": found.commit_id(number)})

    def validate(self, _body):
        """POST /api/validate-yaml."""
        self.reply({"errors": [], "warnings": []})

    def preupload(self, body, repo, revision):
        """POST /api/models/REPO/preupload/REVISION."""
        names = [each["path"] for each in json.loads(body)["files"]]
        modes = [(name, "lfs" if name.endswith(".safetensors") else "regular") for name in names]
        self.reply({"files": [{"path": name, "uploadMode": mode, "shouldIgnore": False} for name, mode in modes]})

    def batch(self, body, repo):
        """POST /REPO.git/info/lfs/objects/batch."""
        objects = [
            {**each, "actions": {"upload": {"href": f"{self.hub.url}/large/{each['oid']}"}}}
            for each in json.loads(body)["objects"]
        ]
        self.reply({"transfer": "basic", "objects": objects})

    def store(self, body, oid):
        """PUT /large/OID."""
        self.hub.large[oid] = body
        self.reply({})

    def commit(self, body, repo, revision):
        """POST /api/models/REPO/commit/REVISION."""
        found = self.hub.repositories[repo]
        files = dict(found.files)
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                found.messages.append(value["summary"])
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        found.commits.append(files)
        commit = found.commit_id(len(found.commits) - 1)
        self.reply({"success": True, "commitOid": commit, "commitUrl": f"{self.hub.url}/{repo}/commit/{commit}"})


REPO = r"(?P<repo>(?:datasets/)?[^/]+/[^/]+?)"
"""A model by its name, and a data set by its name behind datasets/, as in `StandIn.repositories`."""
API = f"/api/(?:models/)?{REPO}"
ENDPOINTS = {
    "/api/repos/create": Handler.create,
    "/api/validate-yaml": Handler.validate,
    API: Handler.info,
    f"{API}/revision/(?P<revision>.+)": Handler.info,
    f"{API}/tree/(?P<revision>[^/]+)": Handler.tree,
    f"{API}/preupload/(?P<revision>.+)": Handler.preupload,
    f"{API}/commit/(?P<revision>.+)": Handler.commit,
    f"/{REPO}\\.git/info/lfs/objects/batch": Handler.batch,
    "/large/(?P<oid>[0-9a-f]+)": Handler.store,
    f"/{REPO}/resolve/(?P<revision>[^/]+)/(?P<name>.+)": Handler.resolve,
}
"""Patterns of paths, and the methods for them."""


def use_hub(monkeypatch, url, cache):
    """Let huggingface_hub talk to a server, with a token and an empty cache."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    disable_progress_bars()  # as the command line does by the environment, which is read when the library is imported
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "token"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
