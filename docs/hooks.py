"""Site hooks: results and the README are pages of the site, too."""

import pathlib

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUTSIDE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff")


def on_files(files, config):
    """Add the documents outside of docs/, under their own paths."""
    results = ROOT / "experiments" / "results"
    paths = [ROOT / name for name in OUTSIDE]
    paths += (ROOT / "examples").glob("*.py")
    paths += [path for path in results.rglob("*") if path.suffix in (".md", ".png")]
    for path in sorted(paths):
        name = path.relative_to(ROOT).as_posix()
        # README.md beside index.md would both be the home page.
        name = "readme.page.md" if name == "README.md" else name
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown, page, **_):
    """Let links that leave docs/ point at the pages of `on_files`."""
    source = page.file.src_uri
    if source == "readme.page.md":
        return markdown.replace("](docs/", "](")
    if "/" not in source:
        return (
            markdown.replace("](../README.md", "](readme.page.md")
            .replace("](../", "](")
            .replace("](docs/", "](")
        )
    return markdown
