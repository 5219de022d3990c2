"""Which Maven repository the jars come from, told by the environment, by Maven's settings, or by jgo.

The repository of Headrace's sources names no host. jgo, a Maven client in Python, knows where jars are published.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

import httpx
import msgspec

from local.errors import CannotStart

VARIABLE = "HEADRACE_MAVEN_REPOSITORY"
MACHINE_SETTINGS = Path("/etc/maven/settings.xml")
CENTRAL = "central"
"""Maven's name for the repository where jars are published. A mirror's `mirrorOf` lists the repositories that it stands
for."""


class Repository(msgspec.Struct, frozen=True):
    address: httpx.URL
    """Without the user and the password."""
    named_by: str
    """Who chose this repository, in words."""
    login: tuple[str, str] | None = None


def chosen() -> Repository:
    """$HEADRACE_MAVEN_REPOSITORY, else a mirror that Maven's settings name, else where jars are published.

    The user's settings win over the machine's. Proxies are those of $HTTPS_PROXY, not those of Maven's settings."""
    given = os.environ.get(VARIABLE)
    if given:
        return _repository(given, f"${VARIABLE}")
    places: tuple[Path, ...] = (MACHINE_SETTINGS,)
    with suppress(RuntimeError):  # a user without a name and without $HOME
        places = (Path.home() / ".m2" / "settings.xml", *places)
    for settings in places:
        mirror = mirror_in(settings)
        if mirror is not None:
            return mirror
    from jgo.constants import MAVEN_CENTRAL_URL  # here, because this import takes 0.1 s and only a fetch needs it

    return _repository(MAVEN_CENTRAL_URL, "jgo")


def mirror_in(settings: Path) -> Repository | None:
    """The first mirror of the central repository that this settings.xml of Maven's names. None: no such file or mirror.

    CannotStart when the file is no XML: falling back to another repository would go around what the file asks for."""
    try:
        root = ElementTree.fromstring(settings.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ElementTree.ParseError) as error:
        raise CannotStart(
            f"Maven's settings in {settings}", str(error), f"Mend that file, or name a repository with ${VARIABLE}"
        ) from None
    for mirror in root.iterfind("{*}mirrors/{*}mirror"):
        if _text(mirror, "blocked") != "true" and _stands_for_central(_text(mirror, "mirrorOf")):
            login = _login(root, _text(mirror, "id"))
            return _repository(_text(mirror, "url"), f"the mirror {_text(mirror, 'id')} in {settings}", login)
    return None


def _stands_for_central(mirror_of: str) -> bool:
    """Maven's rules: `*`, `external:*` (all but this machine's), names, and `!name` for exceptions, with commas."""
    patterns = [pattern.strip() for pattern in mirror_of.split(",")]
    return f"!{CENTRAL}" not in patterns and not {"*", "external:*", CENTRAL}.isdisjoint(patterns)


def _login(root: ElementTree.Element, mirror: str) -> tuple[str, str] | None:
    for server in root.iterfind("{*}servers/{*}server"):
        if _text(server, "id") == mirror and _text(server, "username"):
            return _text(server, "username"), _text(server, "password")
    return None


def _text(element: ElementTree.Element, tag: str) -> str:
    """The child's text, with `${env.NAME}` filled in as Maven does."""
    text = (element.findtext(f"{{*}}{tag}") or "").strip()
    return re.sub(r"\$\{env\.(\w+)\}", lambda match: os.environ.get(match[1], match[0]), text)


def _repository(address: str, named_by: str, login: tuple[str, str] | None = None) -> Repository:
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise CannotStart(
            f"the http or https address of a Maven repository from {named_by}", "another text", "Mend that address"
        )
    if url.username:
        login = (url.username, url.password)
    return Repository(url.copy_with(username=None, password=None), named_by, login)
