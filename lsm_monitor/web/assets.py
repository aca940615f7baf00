"""The page's files: read once, served from memory.

A file that is not in this table does not exist, whatever the address says. ``index.html``
names its files below ``static/__VERSION__/``, where the digest of all files takes that place,
and modules import each other from beside them: a browser keeps them for a year. Asked for
without it, or with an old one, it asks each time whether its copy is still good.
``__LANGUAGES__`` stands for the names of the files in ``i18n/``: what the page can speak.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib import resources
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request, Response

from lsm_monitor.web.problems import Problem

_INDEX = "index.html"
_PLACEHOLDER = b"__VERSION__"
_LANGUAGES = b"__LANGUAGES__"
_NAMED = re.compile("([0-9a-f]{12})/(.+)")
_LEAST_WORTH_PACKING = 512
# Not the system's table, which differs from machine to machine.
_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file; ``packed`` is ``None`` where gzip would not help."""

    media_type: str
    content: bytes
    packed: bytes | None
    etag: str


class Assets:
    """All files of the page, by their path below ``static/``."""

    def __init__(self, files: dict[str, bytes]) -> None:
        digest = hashlib.sha256()
        for path, content in sorted(files.items()):
            digest.update(f"{path}\0{len(content)}\0".encode() + content)
        self.version = digest.hexdigest()[:12]
        tags = sorted(path[5:-5] for path in files if fnmatch(path, "i18n/*.json"))
        index = files.get(_INDEX, b"").replace(_LANGUAGES, " ".join(tags).encode())
        files = {**files, _INDEX: index}
        self._assets = {
            path: _asset(path, content.replace(_PLACEHOLDER, self.version.encode()))
            for path, content in files.items()
            if _suffix(path) in _MEDIA_TYPES
        }

    @classmethod
    def shipped(cls) -> Assets:
        """Return the page that comes with this package."""
        return cls(dict(_files_below(resources.files("lsm_monitor.web") / "static")))

    def response(self, path: str, request: Request) -> Response:
        """Return the file at ``path``, or that the browser's copy is still good.

        Raises:
            Problem: There is no such file.
        """
        named = _NAMED.fullmatch(path)
        asset = self._assets.get(named[2] if named else path)
        if asset is None:
            raise Problem(404, "the page has no such file")
        is_named = named is not None and named[1] == self.version
        headers = {
            "Cache-Control": "public, max-age=31536000, immutable" if is_named else "no-cache",
            "ETag": asset.etag,
            "Vary": "Accept-Encoding",
        }
        if asset.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if asset.packed is not None and takes_gzip(request):
            headers["Content-Encoding"] = "gzip"
            return Response(asset.packed, headers=headers, media_type=asset.media_type)
        return Response(asset.content, headers=headers, media_type=asset.media_type)


def routes(assets: Assets) -> APIRouter:
    """Return the addresses of the page and its files."""
    router = APIRouter()

    @router.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def index(request: Request) -> Response:
        """The page; what it may show is up to the session."""
        return assets.response(_INDEX, request)

    @router.api_route("/static/{path:path}", methods=["GET", "HEAD"], include_in_schema=False)
    async def static(path: str, request: Request) -> Response:
        """A file of the page."""
        return assets.response(path, request)

    return router


def _files_below(folder: Traversable, prefix: str = "") -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _files_below(entry, f"{prefix}{entry.name}/")
        else:
            found.append((prefix + entry.name, entry.read_bytes()))
    return found


def _asset(path: str, content: bytes) -> Asset:
    media_type = _MEDIA_TYPES[_suffix(path)]
    packed = gzip.compress(content, mtime=0) if len(content) > _LEAST_WORTH_PACKING else content
    etag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
    is_worth_it = len(packed) < len(content)
    return Asset(media_type, content, packed if is_worth_it else None, etag)


def _suffix(path: str) -> str:
    name = path.rpartition("/")[2]
    return f".{name.rpartition('.')[2]}" if "." in name else ""


def takes_gzip(request: Request) -> bool:
    """Return whether whoever asks can unpack gzip."""
    codings = request.headers.get("accept-encoding", "").split(",")
    return any(coding.strip().lower() == "gzip" for coding in codings)
