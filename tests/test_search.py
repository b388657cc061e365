"""Rule 24: what a search finds in every script, and the words of a text, for the index and for queries."""

import sqlite3
import unicodedata
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptreg import Registry
from promptreg.storage.sqlite.fulltext import MAX_PHRASE, _parts
from promptreg.storage.sqlite.migrations import MIGRATIONS
from promptreg.tokenizer import BREAK, folded, terms

FOUND = [
    # Case, in every script
    ("straße", "STRASSE"),
    ("STRASSE", "Straße"),
    ("οδυσσεας", "ΟΔΥΣΣΕΑΣ"),
    ("ΟΔΥΣΣΕΑΣ", "Οδυσσέας"),
    ("ПРИВЕТ", "привет"),
    ("ԵՒՐՈՊԱ", "Եւրոպա"),
    ("ԵՒ", "և"),
    ("ⴀⴁⴂ", "ႠႡႢ"),
    ("ꭰꭱ", "ᎠᎡ"),
    ("istanbul", "İstanbul"),
    # Marks of Latin, Greek, Cyrillic, Hebrew and Arabic
    ("cafe", "café"),
    ("café", "cafe"),
    ("cafe\u0301", "CAFÉ"),
    ("Οδυσσεας", "Οδυσσέας"),
    ("елка", "Ёлка"),
    ("Ёлка", "елка"),
    ("Tieng Viet", "Tiếng Việt"),
    ("שלום", "שָׁלוֹם"),
    ("محمد", "مُحَمَّد"),
    ("احمد", "أحمد"),
    # One character for another
    ("fine", "ﬁne"),
    ("ＦＵＬＬ１２", "full12"),
    ("カ\u3099", "ガ"),
    ("ｶﾞｽ", "ガス"),
    ("株式会社", "㍿"),
    # Scripts without spaces, wherever the word is
    ("翻译", "请翻译文本"),
    ("文本", "请翻译文本"),
    ("請", "請翻譯"),
    ("東京", "東京タワー"),
    ("タワー", "東京タワーです"),
    ("한국", "저는 한국어를 배워요"),
    (unicodedata.normalize("NFD", "한국어"), "한국어를"),
    ("ภาษา", "แปลภาษาไทย"),
    ("ພາສາ", "ແປພາສາລາວ"),
    ("ខ្មែរ", "ភាសាខ្មែរ"),
    ("ဘာသာ", "မြန်မာဘာသာစကား"),
    ("𠮷野家", "今日は𠮷野家へ"),
    # Mixed runs are one term
    ("GPT翻译2", "用gpt翻译2吧"),
    ("翻译", "GPT翻译2"),
    ("gpt", "GPT翻译2"),
    ("2", "GPT翻译2"),
    ("使用GPT翻译", "使用 GPT 翻译"),
    # Terms are separated by spaces or punctuation, and all must match
    ("hello world", "World: hello"),
    ("world-hello", "hello, world"),
    ("文本 翻译", "请翻译文本"),
    ("翻译。文本!", "请翻译文本"),
    ("user_name", "{{ user_name }}"),
    ("it's", "It’s 5"),
    ("launch", "Launch🎉"),
    ("🎉", "Launch🎉"),
    ("👍🏽", "👍"),
    ("می‌خواهم", "میخواهم"),
    ("हिन्दी", "अनुवाद: हिन्दी।"),
]
NOT_FOUND = [
    ("译翻", "请翻译文本"),
    ("京東", "東京タワー"),
    ("東京", "東は京"),
    ("東京", "東、京"),
    ("東京", "東 京"),
    ("翻译2", "翻译25"),
    ("か", "が"),
    ("ハ", "パ"),
    ("하", "한"),
    ("कि", "का"),
    ("हिन्दि", "हिन्दी"),
    ("มา", "ม้า"),
    ("straß", "Straße"),
    ("hello world", "hello"),
    ("ell", "hello"),
    ("hello", "héllos"),
]


@pytest.fixture
def memory() -> Iterator[Registry]:
    """A registry of one test."""
    with Registry(":memory:") as opened:
        yield opened


@pytest.mark.parametrize(("text", "template"), FOUND)
def test_rule_24_finds(memory: Registry, text: str, template: str) -> None:
    """The text finds the template, whatever the normal form of either."""
    memory.create("it", template)
    memory.create("other", "Another thing.")
    for form in ("NFC", "NFD"):
        assert [p.name for p in memory.search(unicodedata.normalize(form, text))] == ["it"], form
    memory.update("it", template=unicodedata.normalize("NFD", template))
    assert [p.name for p in memory.search(text)] == ["it"]


@pytest.mark.parametrize(("text", "template"), NOT_FOUND)
def test_rule_24_does_not_find(memory: Registry, text: str, template: str) -> None:
    """Words must match completely and in order within a term, and vowel signs and voicing marks count."""
    memory.create("it", template)
    assert memory.search(text) == []


@pytest.mark.parametrize("text", ["…", "!?", "。 、", "\u0301", "\u200b", "{{ }}", '"', BREAK])
def test_rule_24_no_terms_no_prompts(memory: Registry, text: str) -> None:
    """A text of punctuation alone finds nothing, rather than everything."""
    memory.create("it", "…!? 。 { } 東、京 \u0301", description=text)
    assert memory.search(text) == []


def test_rule_24_searches_names_titles_descriptions_tags_and_templates(memory: Registry) -> None:
    """Each of these is folded, and the terms may be in different ones."""
    memory.create(
        "straße",
        [{"role": "user", "content": "請翻譯"}, {"placeholder": "h"}, {"role": "user", "content": "Ёлка"}],
        title="Café",
        description="Οδυσσέας",
        tags=["東京タワー", "Größe", "京"],
    )
    for text in ("STRASSE", "cafe", "ΟΔΥΣΣΕΑΣ", "東京", "grösse", "翻譯", "елка", "cafe 東京 翻譯 елка"):
        assert [p.name for p in memory.search(text)] == ["straße"], text
    memory.create("other", "Another", tags=["東", "京"])
    assert [p.name for p in memory.search("東京")] == ["straße"], "a term of two tags"


def test_the_best_match_comes_first(memory: Registry) -> None:
    """Prompts with more occurrences of a word among fewer others come first, in scripts without spaces too."""
    for name, template in (("a", "请把文本翻译成英文，并且说明理由。"), ("b", "翻译！翻译！"), ("c", "别的")):
        memory.create(name, template)
    assert [p.name for p in memory.search("翻译")] == ["b", "a"]


TAGS = [
    "Straße",
    "strasse",
    "東京",
    "東、京",
    "京",
    "C++",
    "c",
    "…",
    "ё",
    "е",
    "x" * 200,
    "翻译 文本",
    "a\nb",
    "a",
    "b",
]


def test_a_tag_is_found_exactly(memory: Registry) -> None:
    """Tags that fold to the same words, or contain each other, are distinguished, and none is missed."""
    for i, tag in enumerate(TAGS):
        memory.create(f"p{i}", "…", tags=[tag, "other", "東"])
    for i, tag in enumerate(TAGS):
        assert [p.name for p in memory.list(tag=tag)] == [f"p{i}"], tag


letters = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)


@given(st.lists(letters, min_size=1, max_size=6), st.data())
def test_any_term_of_a_text_is_found_in_it(parts: list[str], data: st.DataObject) -> None:
    """Each term of a part between spaces is among the folded words, with all its words adjacent."""
    words = folded("é " + " ".join(parts))
    for term in terms(data.draw(st.sampled_from(parts))):
        assert f" {term} " in f"{words} "


@given(letters)
def test_an_ascii_tokenizer_keeps_each_word_whole(text: str) -> None:
    """Between single spaces the only ASCII characters are lower-case letters and digits."""
    words = folded(f"é{text}")
    assert all(c == " " or not c.isascii() or c.isdigit() or c.islower() for c in words)
    assert words.split() == words.split(" ")
    assert all(term.split() == term.split(" ") != [""] for term in terms(text))


@pytest.mark.parametrize(
    "unit",
    ["\u0315\u0316", "한", "ᄒ", "ᅡ", "각\u11a8", "的", "ที่", "東、", "é", "ﷺ", "\u3099", "か\u3099", "\u200d", "👍"],
)
def test_folding_is_linear_in_the_text(unit: str) -> None:
    """Each character becomes a bounded text, whatever its neighbours; quadratic folding would take minutes."""
    text = unit * (250_000 // len(unit.encode()))
    assert len(folded(text)) <= 40 * len(text)


def _downgrade(path: str) -> None:
    """Turn a file into one of the previous schema, with its full-text index."""
    step = [made.name for made in MIGRATIONS._migrations].index("m0005_folded_words")
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT p.key, p.name, v.title, v.description, v.tags, v.template FROM prompts p JOIN versions v"
            " ON v.prompt = p.key AND v.version = coalesce(p.production_version, p.latest_version)"
        ).fetchall()
        connection.execute("DROP TABLE search")
        connection.execute(
            "CREATE VIRTUAL TABLE search USING fts5(name, title, description, tags, template,"
            " tokenize = 'unicode61 remove_diacritics 2')"
        )
        connection.executemany(
            "INSERT INTO search (rowid, name, title, description, tags, template) VALUES (?, ?, ?, ?, ?, ?)", rows
        )
        connection.execute("DELETE FROM _sqlite_migrations WHERE name = 'm0005_folded_words'")
        connection.execute(f"PRAGMA user_version = {step}")
        connection.commit()


def _filled(path: str) -> None:
    with Registry(path) as registry:
        registry.create("a", "请翻译文本", tags=["東京タワー"])
        registry.create("b", "Straße", is_production=False)
        registry.update("b", template="Platz", is_production=False)
        registry.create("c", [{"role": "user", "content": "翻译"}])
        registry.archive("c")
        registry.create("d", "Plain hello")
        registry.update("d", template="Straße as a draft", is_production=False)
    _downgrade(path)


@pytest.mark.sqlite
def test_a_file_of_an_earlier_schema_is_found_by_folded_words(path: str) -> None:
    """Migrating rebuilds the full-text index, of the version that each prompt resolves to, and changes no row."""
    _filled(path)
    with closing(sqlite3.connect(path)) as connection:
        before = [
            connection.execute(f"SELECT * FROM {table}").fetchall() for table in ("prompts", "versions", "events")
        ]
    with Registry(path) as registry:
        assert [p.name for p in registry.search("翻译")] == ["a"]
        assert [p.name for p in registry.search("翻译", status="archived")] == ["c"]
        assert [p.name for p in registry.search("platz")] == ["b"]
        assert [p.name for p in registry.search("hello")] == ["d"]
        assert registry.search("strasse") == []
        assert [p.name for p in registry.list(tag="東京タワー")] == ["a"]
    with closing(sqlite3.connect(path)) as connection:
        after = [connection.execute(f"SELECT * FROM {table}").fetchall() for table in ("prompts", "versions", "events")]
    assert after == before


@pytest.mark.sqlite
def test_a_damaged_prompt_does_not_prevent_a_migration(path: str) -> None:
    """Reading the damaged prompt raises an error, and the others are found."""
    _filled(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE versions SET hash = 'x' WHERE title = 'b'")
        connection.commit()
    with Registry(path) as registry:
        assert [p.name for p in registry.search("翻译")] == ["a"]
        assert registry.search("platz") == []


@pytest.mark.sqlite
def test_a_read_only_file_of_an_earlier_schema_is_searched_as_before(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its words are not folded, so that searches find what they did before, and no tag is missed."""
    _filled(path)
    monkeypatch.setattr("promptreg.storage.sqlite.readonly.is_writable", lambda path: False)
    with Registry(path) as registry:
        assert [p.name for p in registry.search("请翻译文本")] == ["a"]
        assert [p.name for p in registry.search("HELLO")] == ["d"]
        assert [p.name for p in registry.list(tag="東京タワー")] == ["a"]


def test_a_term_of_many_words_is_found_by_its_parts(memory: Registry) -> None:
    """A long term is split, as comparing a thousand equal characters with each of a long text takes seconds."""
    sentence = "".join(map(chr, range(0x4E00, 0x4E64)))
    memory.create("it", f"说：{sentence}。")
    memory.create("less", f"说：{sentence[:-1]}。{sentence[0]}")
    memory.create("long", "的" * 80_000)
    assert [p.name for p in memory.search(sentence)] == ["it"]
    assert sorted(p.name for p in memory.search(sentence[:-1])) == ["it", "less"]
    assert [p.name for p in memory.search("的" * 1_000)] == ["long"]
    words = [chr(0x4E00 + at) for at in range(1_000)]
    parts = [part.split() for part in _parts(" ".join(words))]
    assert max(map(len, parts)) == MAX_PHRASE
    assert [word for part in parts[:-1] for word in part] + parts[-1][-(1_000 % MAX_PHRASE) :] == words
