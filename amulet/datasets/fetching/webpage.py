"""The web page that a server sends instead of a file: its title, and the form that leads to the file."""

from html.parser import HTMLParser
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

_FORM = "download-form"  # Google Drive's "cannot scan this file for viruses, download anyway"


def is_webpage(start: bytes) -> bool:
    """Are these the first bytes of a web page?

    >>> is_webpage(b"  <!DOCTYPE html><html>"), is_webpage(b"202599 images")
    (True, False)
    """
    return start.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html"))


class Webpage(HTMLParser):
    """A page's title, and the address that its download form leads to.

    >>> page = Webpage("http://a/b", '<title>Hm</title><form id="download-form" action="/c"><input name="i" value="7">')
    >>> page.title, page.onward
    ('Hm', 'http://a/c?i=7')
    """

    def __init__(self, address: str, text: str) -> None:
        super().__init__()
        self.title = ""
        self._address = address
        self._action: str | None = None
        self._fields: dict[str, str] = {}
        self._within: str | None = None
        self.feed(text)

    @property
    def onward(self) -> str | None:
        """The address of the form with its hidden fields; None if there is no such form."""
        if self._action is None:
            return None
        parts = urlsplit(urljoin(self._address, self._action))
        return urlunsplit(parts._replace(query=urlencode({**dict(parse_qsl(parts.query)), **self._fields})))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the form's address and fields."""
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and given.get("id") == _FORM:
            self._action, self._within = given.get("action", ""), "form"
        elif tag == "input" and self._within == "form" and given.get("name"):
            self._fields[given["name"]] = given.get("value", "")
        elif tag == "title":
            self._within = "title"

    def handle_endtag(self, tag: str) -> None:
        """Leave the title or the form."""
        if tag in ("form", "title"):
            self._within = None

    def handle_data(self, data: str) -> None:
        """Keep the title's text."""
        if self._within == "title":
            self.title = " ".join((self.title + data).split())
