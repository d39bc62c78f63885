"""Reads a page as a browser would, and refuses what a page must not have."""

from html.parser import HTMLParser

VOID = {"meta", "img"}


class Page(HTMLParser):
    """``elements``: (tag, attributes) in order; ``words``: the text between them."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.words, self._open = [], [], []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self):
        return "".join(self.words)


def read_page(html):
    """The page, after making sure that it needs nothing from elsewhere and runs nothing."""
    page = Page(html)
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in page.elements}
    for _, attributes in page.elements:
        assert not any(name.startswith("on") or name == "href" for name in attributes)
        assert attributes.get("src", "data:").startswith("data:")
        assert attributes.get("style", "").count("url(") == attributes.get("style", "").count(
            "url(data:image/jpeg;base64,"
        )
    assert "http://" not in html and "https://" not in html and "@import" not in html
    return page
