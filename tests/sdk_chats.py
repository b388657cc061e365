"""Random chat templates that the registry accepts, and random messages, for properties of the arguments for SDKs."""

from typing import Any

from hypothesis import strategies as st

TEXTS = st.sampled_from(["", " ", "x", "{{ x }}", "é\n"])
FILLED = st.sampled_from(["x", "{{ x }}", "wav", "ä"])
URLS = st.sampled_from(
    [
        "https://a.org/b.png",
        "https://a.org/b?c=.png",
        "http://a.org/b.jpg",
        "gs://a/b.pdf",
        "data:image/png;base64,QUJD",
        "data:image/png;base64,{{ x }}",
        "data:text/plain,%FF",
        "data:,x",
        "{{ x }}",
        "https://[",
    ]
)
DATA = st.sampled_from(["QUJD", "JVBERi0x", "{{ x }}", "data:application/pdf;base64,QUJD", "data:text/csv,a", "###"])
FILES = st.dictionaries(
    st.sampled_from(["file_data", "file_id", "file_url", "filename", "other"]),
    DATA | URLS | st.sampled_from(["a.pdf", "a.md", 1, None, ["x"]]),
    min_size=1,
    max_size=3,
)
OBJECTS = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": TEXTS}),
    st.fixed_dictionaries({"type": st.just("image_url"), "image_url": st.fixed_dictionaries({"url": URLS})}),
    st.fixed_dictionaries(
        {
            "type": st.just("input_audio"),
            "input_audio": st.fixed_dictionaries({"data": DATA, "format": FILLED}),
        }
    ),
    st.fixed_dictionaries({"type": st.just("file"), "file": FILES}),
)
CONTENTS = TEXTS | st.lists(OBJECTS, min_size=1, max_size=3)
ARGUMENTS = st.sampled_from(["{}", '{"a": [1, null]}', "[]", "", "{", {"a": 1}, None, 1])
CALLS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["a", "b", "", None, 1]),
        "type": st.sampled_from(["function", "custom"]),
        "function": st.none()
        | st.fixed_dictionaries({}, optional={"name": st.sampled_from(["f", "", 1]), "arguments": ARGUMENTS}),
    },
).filter(bool)
GOOD_CALLS = st.fixed_dictionaries(
    {
        "id": st.sampled_from("ab"),
        "type": st.just("function"),
        "function": st.fixed_dictionaries(
            {"name": st.just("f"), "arguments": st.sampled_from(["{}", '{"a": [1, null]}'])}
        ),
    }
)
OPTIONAL: dict[str, st.SearchStrategy[Any]] = {
    "name": FILLED,
    "cache": st.booleans(),
    "tool_call_id": st.sampled_from(["a", "b", "c"]),
}
SAID = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "developer", "user", "assistant", "tool"]), "content": CONTENTS},
    optional=OPTIONAL,
)
CALLING = st.fixed_dictionaries(
    {
        "role": st.just("assistant"),
        "tool_calls": st.lists(GOOD_CALLS, min_size=1, max_size=2) | st.lists(CALLS, min_size=1, max_size=2),
    },
    optional={"content": CONTENTS, "cache": st.booleans()},
)
RESULT = st.fixed_dictionaries(
    {"role": st.just("tool"), "content": TEXTS | st.just('{"a": 1}'), "tool_call_id": st.sampled_from("ab")}
)
CHATS = st.lists(SAID | CALLING | RESULT, min_size=1, max_size=5)
"""Messages of templates: good ones, and all that the registry takes and a provider may not."""

WORDS = st.sampled_from(
    "role content parts type text user assistant tool system model id name tool_calls tool_call_id function arguments"
    " image_url url file file_data file_id input_audio data format function_call cache_control tool_use refusal message"
    " config tools {} data:,x".split()
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
ANYTHING = st.lists(
    st.dictionaries(WORDS, VALUES, max_size=5)
    | st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "tool", "system", "model"])},
        optional=dict.fromkeys(["content", "parts", "tool_calls", "tool_call_id", "type"], VALUES),
    ),
    max_size=3,
)
"""What a placeholder may bring: mappings of JSON values, with the words of messages in any place."""

KEYWORDS = st.dictionaries(WORDS.filter(str.isidentifier), VALUES, max_size=3)
