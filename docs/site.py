"""What the site makes of the pages: links out of ``docs/`` lead to the repository."""

from __future__ import annotations

import posixpath
import re
from typing import Any

_OUT = re.compile(r"\]\(((?:\.\./)+[^)\s]*)\)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Rewrite links of a page that leave the folder."""

    def absolute(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page.file.src_uri), match[1]))
        return f"]({config['repo_url']}/blob/main/{target})"

    return _OUT.sub(absolute, markdown)
