"""A Hub on this machine: as much of its protocol as `huggingface_hub` needs to make, write and read a repository.

A commit is a folder's files by name; a branch or tag names one. What the real Hub would keep by Xet or LFS is uploaded in the
commit, as it lets small files be: the library asks for that ("preupload"), and is told "regular".
"""

import base64
import contextlib
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_a_test"


def blob_id(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Hub:
    """``repos[name]`` has ``branches`` (name → commit) and ``commits`` (hash → files by name)."""

    def __init__(self):
        self.repos = {}
        self.private = set()
        self.requests = []
        #: In the place of every answer: a status and a body.
        self.always = None
        #: What a file is said to have of bytes.
        self.length = None

    def create(self, name, private):
        first = hashlib.sha1(name.encode()).hexdigest()
        self.repos[name] = {"branches": {"main": first}, "commits": {first: {}}}
        if private:
            self.private.add(name)

    def commit(self, name, branch, files):
        found = self.repos[name]
        text = json.dumps([branch, found["branches"], {path: blob_id(content) for path, content in files.items()}])
        number = hashlib.sha1(text.encode()).hexdigest()
        found["commits"][number] = files
        found["branches"][branch] = number
        return number

    def files(self, name, revision="main"):
        found = self.repos[name]
        return found["commits"][found["branches"].get(revision, revision)]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", **headers):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def refuse(self, status, code, message):
        self.answer(status, {"error": message}, X_Error_Code=code, X_Error_Message=message)

    def handle_any(self):
        hub = self.server.hub
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        hub.requests.append((self.command, path))
        if hub.always is not None:
            return self.answer(*hub.always)
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if self.command in ("POST", "PUT") and not known and "/paths-info/" not in path:
            return self.refuse(401, "", "Invalid username or password.")
        if path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'me'}/{asked['name']}"
            if name in hub.repos:
                return self.answer(409, {"url": f"{self.server.url}/{name}", "error": "You already created this model repo"})
            hub.create(name, asked.get("private") or asked.get("visibility") == "private")
            return self.answer(200, {"url": f"{self.server.url}/{name}", "name": name})
        found = re.fullmatch(r"(?:/api/models)?/([^/]+/[^/]+)(?:/([a-z-]+))?(?:/([^/]+))?(?:/(.*))?", path)
        name, verb, revision, rest = found.groups()
        if name not in hub.repos or (name in hub.private and not known):
            return self.refuse(401 if not known else 404, "RepoNotFound", "Repository not found")
        repo = hub.repos[name]
        if verb == "branch":
            if revision in repo["branches"]:
                return self.answer(409, {"error": "Reference already exists"})
            repo["branches"][revision] = repo["branches"]["main"]
            return self.answer(200, {})
        if verb is not None:
            number = repo["branches"].get(revision, revision)
            if number not in repo["commits"]:
                return self.refuse(404, "RevisionNotFound", "Invalid rev id")
            files = repo["commits"][number]
        if verb is None or verb == "revision":
            number = repo["branches"]["main"] if verb is None else number
            siblings = [{"rfilename": each} for each in repo["commits"][number]]
            return self.answer(200, {"id": name, "modelId": name, "sha": number, "siblings": siblings, "private": False})
        if verb == "tree":
            rows = [{"type": "file", "path": each, "size": len(b), "oid": blob_id(b)} for each, b in files.items()]
            return self.answer(200, rows)
        if verb == "paths-info":
            asked = [unquote(value) for value in re.findall(r"paths=([^&]*)", body.decode())] or json.loads(body)["paths"]
            rows = [(each, files[each]) for each in asked if each in files]
            return self.answer(200, [{"type": "file", "path": e, "size": len(b), "oid": blob_id(b)} for e, b in rows])
        if verb == "preupload":
            asked = json.loads(body)["files"]
            return self.answer(
                200, {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in asked]}
            )
        if verb == "commit":
            files = dict(files)
            for line in body.decode().splitlines():
                row = json.loads(line)
                if row["key"] == "file":
                    files[row["value"]["path"]] = base64.b64decode(row["value"]["content"])
                elif row["key"] == "deletedFile":
                    del files[row["value"]["path"]]
            number = hub.commit(name, revision, files)
            url = f"{self.server.url}/{name}/commit/{number}"
            return self.answer(200, {"success": True, "commitOid": number, "commitUrl": url})
        if verb == "resolve":
            if rest not in files:
                return self.refuse(404, "EntryNotFound", "Entry not found")
            content = files[rest]
            if hub.length is not None and self.command == "HEAD":
                self.send_response(200)
                for name, value in {"ETag": f'"{blob_id(content)}"', "X-Repo-Commit": number}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(hub.length))
                return self.end_headers()
            return self.answer(200, content, ETag=f'"{blob_id(content)}"', X_Repo_Commit=number, Accept_Ranges="bytes")
        return self.answer(501, {"error": path})

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any


@contextlib.contextmanager
def serving():
    """Yields a Hub and its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.hub, server.url = Hub(), f"http://127.0.0.1:{server.server_port}"
    server.hub.url = server.url
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.hub, server.url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
