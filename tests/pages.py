"""Reads a page as a browser would, and refuses what a page must not have."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import numpy as np

from vidcaption.options.captioning import CaptionOptions
from vidcaption.output.captions import Captions
from vidcaption.types import ModelInfo, Segment, Word
from vidcaption.video.reader import probe

VOID = {"meta", "img", "input", "track"}
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>\x1b[31m\u202e&amp; $x^{ 犬"


def decoded(uri, flags=cv2.IMREAD_UNCHANGED):
    """The picture in a data URI."""
    data = base64.b64decode(uri.partition(";base64,")[2])
    return cv2.imdecode(np.frombuffer(data, np.uint8), flags)


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


def read_scripted(html):
    """The page, after making sure that it runs its own script alone and fetches but the video."""
    page = Page(html)
    [policy] = [each["content"] for each in page.of("meta") if "http-equiv" in each]
    [code] = re.findall("<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy
    assert len(page.of("script")) == 2  # and the data
    assert not {"link", "iframe", "object", "base"} & {tag for tag, _ in page.elements}
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        assert tag == "video" or attributes.get("src", "data:").startswith("data:")
    assert "http://" not in html and "https://" not in html and "@import" not in html
    return page


def captions_of(path, segments, model, **options):
    asked = CaptionOptions(**({"window_s": 2.0, "frames": 2} | options))
    info = replace(probe(path), path=str(path))
    return Captions(info, ModelInfo("default", model.sha256), asked, tuple(segments))


def said(start_s, end_s, *words):
    text = " ".join(words)
    return Segment(start_s, end_s, text, -0.5, tuple(Word(word, 0.25) for word in words))


def ignore(number):
    """Watch nothing."""
