"""The text of a prompt that searches look in (rule 24), for any database."""

from promptreg.messages import text_of
from promptreg.records import Container, Snapshot
from promptreg.tokenizer import folded

SEARCH_COLUMNS = ("name", "title", "description", "tags", "template")


def searched_text(container: Container, snapshot: Snapshot) -> tuple[str, str, str, str, str]:
    """Return the folded text of a prompt, in the order of `SEARCH_COLUMNS`.

    Of a chat these are its texts: an image or a file in base64 has no words.
    """
    template = snapshot.template
    text = template if isinstance(template, str) else "\n".join(t for m in template if (t := text_of(m)) is not None)
    return (
        folded(container.name),
        folded(snapshot.title),
        folded(snapshot.description),
        folded("\n".join(snapshot.tags)),
        folded(text),
    )
