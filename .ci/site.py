"""What the site takes from outside docs/: the notebooks and the prior library as pages, and the links to them.

A hook of mkdocs. In the repository a page of docs/ links to ``../notebooks/sleepstudy.ipynb``; on the site that is the
page ``notebooks/sleepstudy.md``. A link to source code, which is not on the site, becomes its text.
"""

import re
from pathlib import Path

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbconvert import MarkdownExporter

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#:]+)(#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The notebooks in the navigation, before the project's own pages."""
    config.nav.insert(-1, {"Notebooks": [f"notebooks/{path.stem}.md" for path in NOTEBOOKS]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The notebooks as Markdown with their pictures, and the files of priors/."""
    for path in NOTEBOOKS:
        names = {"unique_key": path.stem, "output_files_dir": f"{path.stem}_files"}
        text, resources = MarkdownExporter().from_notebook_node(nbformat.read(path, as_version=4), names)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=text))
        for name, picture in resources["outputs"].items():
            files.append(File.generated(config, f"notebooks/{name}", content=picture))
    for path in sorted((ROOT / "priors").rglob("*")):
        if path.suffix in (".md", ".toml"):
            files.append(File.generated(config, str(path.relative_to(ROOT)), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as they are on the site."""
    inside = page.file.src_uri.split("/")[0] in ("notebooks", "priors")
    source = ROOT / ("" if inside else "docs") / page.file.src_uri
    up = "../" * page.file.src_uri.count("/")

    def rewrite(link: re.Match[str]) -> str:
        image, text, target, anchor = link.groups()
        path = (source.parent / target).resolve()
        if image or not path.is_relative_to(ROOT):
            return link[0]
        if not path.exists():
            raise FileNotFoundError(f"{page.file.src_uri} links to {target}, which is not there")
        place = path.relative_to(ROOT)
        if place.parts[0] == "docs":
            return link[0] if not inside else f"[{text}]({up}{place.relative_to('docs')}{anchor or ''})"
        if place.parts[0] in ("notebooks", "priors") and path.is_file():
            return f"[{text}]({up}{place.with_suffix('.md') if path.suffix == '.ipynb' else place}{anchor or ''})"
        return f"[{text}]({up}README.md)" if str(place) == "README.md" else text

    parts = re.split(r"(^```.*?^```)", markdown, flags=re.DOTALL | re.MULTILINE)  # code is left as it is
    return "".join(part if part.startswith("```") else LINK.sub(rewrite, part) for part in parts)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Bars in cells of tables without the backslash that they need in Markdown, which code there would show."""
    return re.sub(
        r"<(t[dh])\b[^>]*>.*?</\1>", lambda cell: cell[0].replace("\\|", "|"), html, flags=re.DOTALL
    )
