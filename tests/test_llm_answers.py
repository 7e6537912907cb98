"""What counts of an answer: not the thoughts, not an echo or a draft, and the captions in whatever form a model writes a list."""

import html
import json
import time

import pytest

from aa_utils.prompts._llm_answers import NoCompletion, completion, texts
from aa_utils.prompts._llm_marks import plain
from aa_utils.prompts._llm_thoughts import after_thoughts

ONE, TWO, THREE = "A red mug on a wet table", "Two mugs in a dim kitchen, it's late", 'A mug with a "B" in fog'
GOOD = [ONE, TWO, THREE]
JSON = json.dumps({"prompts": GOOD})
DRAFT = "A draft mug that was rejected"


def read(content, finish="stop", count=0, **message):
    body = {"choices": [{"finish_reason": finish, "message": {"content": content, **message}}]}
    return texts(completion(json.dumps(body).encode()), count)


WORDS = ["think", "thinking", "thought", "Thoughts", "reasoning", "REASON", "seed:think", "analysis", "scratchpad", "reflection",
         "chain of thought", "inner_monologue"]  # fmt: skip
PAIRS = [
    *((f"<{word}>", f"</{word}>") for word in WORDS), ("< think >", "< / think >"), ("[THINK]", "[/THINK]"), ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"), ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<｜begin▁of▁thinking｜>", "<｜end▁of▁thinking｜>"), ("<|channel>thought\n", "<channel|>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>"),
    ("analysisWe need captions. ", "assistantfinal"),
]  # fmt: skip


@pytest.mark.parametrize(("opening", "closing"), PAIRS)
def test_all_text_up_to_the_last_end_of_thought_is_thought(opening, closing):
    draft = json.dumps([DRAFT, DRAFT + " twice", DRAFT + " once more", DRAFT + " at last"])
    for thought in (
        "We need [3] captions {of mugs}.",
        f"Maybe {draft}? No.",
        "1. A mug, numbered in a thought\n2. Another mug in a thought\n",
    ):
        assert read(opening + thought + closing + JSON) == (GOOD, "")
        assert read(f"{opening}{thought}{closing}\n```json\n{JSON}\n```") == (GOOD, "")
        if "analysis" not in opening:  # these marks only come in pairs
            assert read(thought + closing + JSON) == (GOOD, ""), "the opening mark stood in the question"
            assert read(f"{opening}one{closing}{opening}{thought}{closing}{JSON}") == (GOOD, ""), "it thought twice"
    assert read(opening + draft) == ([], "empty"), "a thought without an end is no answer"
    assert read(opening + draft, "length") == ([], "cut off")


@pytest.mark.parametrize("tag", ["musings", "notes", "draft", "xyz"])
def test_what_stands_before_a_closing_tag_of_any_name_is_no_answer_where_captions_follow(tag):
    longer = json.dumps([f"{DRAFT} {number}" for number in range(9)])
    assert read(f"<{tag}>{longer}</{tag}>{JSON}") == (GOOD, "")
    assert read(f"{longer}</{tag}>{JSON}") == (GOOD, "")


@pytest.mark.parametrize("tag", ["answer", "output", "json", "final_answer", "response", "captions"])
def test_tags_around_the_answer_do_no_harm(tag):
    assert read(f"<think>hm</think><{tag}>\n{JSON}\n</{tag}>") == (GOOD, "")
    assert read(f'<{tag}>{JSON}</{tag}> Notes: ["used every hint"]') == (GOOD, "")


QUOTE = '"'
NOTES = "\n\nNotes:\n- Each mug is in its own place\n- Each mug has its own light\n- Each mug has its own age\n"
MARKS = ("{n} - ", "[{n}] ", "{n}\\. ", "{n}.", "{c}) ", "({n}) ", "Caption {n}: ", "**Caption {n}:** ", "→ ", "✓ ", "- [ ] ", "> ")
FORMS = {
    "a bracket in front": f"Here are the [3] captions (see [notes] and {{hints}}):\n{JSON}",
    "the format echoed": 'Format: {"prompts": ["first caption", "second caption"]}\n' + JSON,
    "the schema echoed": json.dumps({"type": "object", "required": ["prompts"]}) + JSON,
    "a draft in front": f"{json.dumps([DRAFT, DRAFT + ' two', DRAFT + ' three'])} No, better ones:\n{JSON}",
    "a longer draft in front": f"{json.dumps([DRAFT, 'A mug that was no good', DRAFT + ' three', DRAFT + ' four'])} Better:\n{JSON}",
    "notes behind": JSON + '\nHints left out: ["dim light", "a view from far above"]',
    "the bare list": json.dumps(GOOD),
    "a list of the list": json.dumps([GOOD]),
    "JSON inside a JSON text": json.dumps(JSON),
    "another name": json.dumps({"mug_captions": GOOD, "count": 3}),
    "beside another list": json.dumps({"captions": GOOD, "hints": ["light", "place"]}),
    "beside numbers": json.dumps({"a": GOOD, "scores": [1, 2, 3]}),
    "deeper": json.dumps({"result": {"prompts": GOOD}}),
    "objects": json.dumps({"prompts": [{"id": number, "caption": text} for number, text in enumerate(GOOD)]}),
    "title and caption": json.dumps({"prompts": [{"title": f"The mug of picture {n}", "caption": text} for n, text in enumerate(GOOD)]}),
    "prompt and style": json.dumps([{"Style": "a pencil sketch, light", "Prompt": text} for text in GOOD]),
    "keyed": json.dumps({f"caption_{number}": text for number, text in enumerate(GOOD, 1)}),
    "keyed by numbers": json.dumps({str(number): text for number, text in enumerate(GOOD, 1)}),
    "keyed below prompts": json.dumps({"prompts": {f"Caption {number}": text for number, text in enumerate(GOOD, 1)}}),
    "keyed objects": json.dumps({f"caption{number}": {"text": text} for number, text in enumerate(GOOD, 1)}),
    "an object a line": "\n".join(json.dumps({"prompt": text}) for text in GOOD),
    "an object a line, in a fence": "```jsonl\n" + "\n".join(json.dumps({"caption": text, "n": 1}) for text in GOOD) + "\n```",
    "a list a line": "\n".join(json.dumps([text]) for text in GOOD),
    "objects with commas": ",\n".join(json.dumps({"text": text}) for text in GOOD) + ",",
    "numbered objects": "\n".join(f"{number}. {json.dumps({'text': text})}" for number, text in enumerate(GOOD, 1)),
    "single quotes": str({"prompts": GOOD}),
    "single quotes, a list": "Sure:\n" + str(GOOD),
    "trailing comma": JSON.replace("]}", ",\n]}"),
    "two trailing commas": JSON.replace("]}", ", ], }"),
    "typographic quotes": "{“prompts”: [" + ", ".join(f"“{text}”" for text in (ONE, TWO, "A mug in fog")) + "]}",
    "numbered": "\n".join(f"{number}. {text}" for number, text in enumerate(GOOD, 1)),
    "numbered with brackets": "Sure, these are they:\n\n" + "\n\n".join(f"{number}) {text}" for number, text in enumerate(GOOD, 1)),
    "bullets": "# Captions of a mug\n\n" + "\n".join(f"- {text}" for text in GOOD) + "\n\nEnjoy!",
    "stars": "\n".join(f"* {text}" for text in GOOD),
    "bold numbers": "\n".join(f"**{number}.** {text}" for number, text in enumerate(GOOD, 1)),
    "numbered and labelled": "\n".join(f"{number}. **Caption {number}:** {text}" for number, text in enumerate(GOOD, 1)),
    "quoted bullets": "\n".join(f"- “{text}”" for text in GOOD),
    "numbers in JSON": json.dumps({"prompts": [f"{number}. {text}" for number, text in enumerate(GOOD, 1)]}),
    "bullets in JSON": json.dumps({"prompts": [f"- {text}" for text in GOOD]}),
    "bold in JSON": json.dumps({"prompts": [text.replace("mug", "**mug**", 1) for text in GOOD]}),
    "all bold in JSON": json.dumps({"prompts": [f"**{text}**" for text in GOOD]}),
    "emphasis in JSON": json.dumps({"prompts": [text.replace(" in ", " _in_ ").replace(" on ", " _on_ ") for text in GOOD]}),
    "labels in JSON": json.dumps({"prompts": [f"Caption {number}: {text}" for number, text in enumerate(GOOD, 1)]}),
    "a short list of hints after a Markdown list": "\n".join(f"- {text}" for text in GOOD) + '\n["dim light"]',
    "a Markdown draft before JSON": f"- {DRAFT}\n- {DRAFT} again\n\nFinal:\n{JSON}",
    "notes in Markdown behind JSON": JSON + NOTES,
    "no commas": JSON.replace('", "', '"\n"'),
    "no commas, single quotes": "['A red mug on a wet table'\n'Two mugs in a dim kitchen, it\\'s late'\n'A mug with a \"B\" in fog']",
    "one text of lines": json.dumps({"prompts": "\n".join(GOOD)}),
    "JSON in a field": json.dumps({"prompts": json.dumps(GOOD)}),
    "tags": "<prompts>" + "".join(f"<prompt>{text}</prompt>" for text in GOOD) + "</prompts>",
    "numbered tags": "\n".join(f'  <caption id="{number}">{text}</caption>' for number, text in enumerate(GOOD, 1)),
    "HTML": "<ol>\n" + "\n".join(f"<li>{text}</li>" for text in GOOD) + "\n</ol>",
    "a table": "| # | Caption |\n|---|---|\n" + "\n".join(f"| {number} | {text} |" for number, text in enumerate(GOOD, 1)),
    "JavaScript": "const prompts = [\n" + "\n".join(f"  `{text}`," for text in GOOD) + "\n];",
    **{
        f"marked {mark.format(n=1, c='a')}": "\n".join(f"{mark.format(n=n, c='abc'[n - 1])}{text}" for n, text in enumerate(GOOD, 1))
        for mark in MARKS
    },
    "lines": "Here are the captions:\n\n" + "\n".join(GOOD),
    "lines apart": "\n\n".join(GOOD),
    "below headings": "\n\n".join(f"### Caption {n}\n{text}" for n, text in enumerate(GOOD, 1)),
    "below bold headings": "\n\n".join(f"**Caption {n}**\n{text}" for n, text in enumerate(GOOD, 1)),
    "numbered in one line": " ".join(f"{n}. {text}" for n, text in enumerate(GOOD, 1)),
    "numbered, ended by CR": "\r".join(f"{n}. {text}" for n, text in enumerate(GOOD, 1)),
    "numbered, ended by CR LF": "\r\n".join(f"{n}. {text}" for n, text in enumerate(GOOD, 1)),
    "CSV": "id,caption\n" + "\n".join(f'{n},"{text.replace(QUOTE, QUOTE * 2)}"' for n, text in enumerate(GOOD, 1)),
    "tabs": "\n".join(f"{n}\t{text}" for n, text in enumerate(GOOD, 1)),
    "YAML": "prompts:\n" + "\n".join(f"  - {json.dumps(text)}" for text in GOOD),
    "YAML of fields": "\n".join(f"- text: {text}\n  style: a photo of it" for text in GOOD),
    "a JSON text a line": "\n".join(json.dumps(text) for text in GOOD),
    "assignments": "\n".join(f"prompt{n} = {json.dumps(text)}" for n, text in enumerate(GOOD, 1)),
    "comments in JSON": '{"prompts": [ /* three */\n' + ",\n".join(f"{json.dumps(text)}" for text in GOOD) + " // that is it\n]}",
    "pairs": json.dumps([[n, text] for n, text in enumerate(GOOD, 1)]),
    "a draft beside it": json.dumps({"draft": [DRAFT, DRAFT + " two", DRAFT + " three"], "final": GOOD}),
    "a call": f'<tool_call>{{"name": "answer", "arguments": {JSON}}}</tool_call>',
    "a call whose arguments are a text": json.dumps({"name": "answer", "arguments": JSON}),
    "HTML's names of signs": json.dumps({"prompts": [html.escape(text) for text in GOOD]}),
    "tags that count": "".join(f"<caption_{n}>{text}</caption_{n}>" for n, text in enumerate(GOOD, 1)),
    "CDATA": "".join(f"<caption><![CDATA[{text}]]></caption>" for text in GOOD),
    "a table of one column": "| Caption |\n|---|\n" + "\n".join(f"| {text} |" for text in GOOD),
    "a table of three columns": "| # | Style | Caption |\n|---|---|---|\n" + "\n".join(f"|{n}|photo|{t}|" for n, t in enumerate(GOOD, 1)),
    "marked by #": "\n".join(f"#{n} {text}" for n, text in enumerate(GOOD, 1)),
    "marked by keys of a telephone": "\n".join(f"{n}\ufe0f\u20e3 {text}" for n, text in enumerate(GOOD, 1)),
    "marked by wide brackets": "\n".join(f"（{n}）{text}" for n, text in enumerate(GOOD, 1)),
    "marked by circles": "\n".join(f"{'①②③'[n]} {text}" for n, text in enumerate(GOOD)),
    "marked by wide digits": "\n".join(f"{'１２３'[n]}．{text}" for n, text in enumerate(GOOD)),
    "marked by Roman numbers": "\n".join(f"{'i' * n}. {text}" for n, text in enumerate(GOOD, 1)),
}  # fmt: skip


SIGNS = "‣⁃◦∙●○■▪▸►➢➤→⇒✦✧❖✱·–—»☐⬤🔹🟢⭐👉"  # of lists, each with a space behind it
NUMBERS = (
    "１２３",
    "١٢٣",
    "१२३",
    "一二三",
    "①②③",
    "❶❷❸",
    "⒈⒉⒊",
    "⑴⑵⑶",
    ("1st", "2nd", "3rd"),
    ("1.1", "1.2", "1.3"),
    ("One", "Two", "Three"),
)
NUMBERS += (
    ("Scene 1", "Scene 2", "Scene 3"),
    ("Nº 1", "Nº 2", "Nº 3"),
    ("第一", "第二", "第三"),
    ("1\ufe0f\u20e3", "2\ufe0f\u20e3", "3\ufe0f\u20e3"),
)
FORMS |= {f"marked by {sign}": "\n".join(f"{sign} {text}" for text in GOOD) for sign in SIGNS}
FORMS |= {
    f"marked by {of[0]}{stop}": "\n".join(f"{n}{stop}{text}" for n, text in zip(of, GOOD, strict=True))
    for of in NUMBERS
    for stop in (". ", ") ", ": ")
}
FORMS |= {f"ended by {end!a}": end.join(f"- {text}" for text in GOOD) for end in ("\u2028", "\u2029", "\x85", "\v", "\f")}
NOTE = "this mug has a strong mood with plenty of detail in it"
FORMS |= {
    "a table with longer notes": "| Caption | Why |\n|---|---|\n" + "\n".join(f"| {text} | {NOTE} |" for text in GOOD),
    "CSV with commas and more columns": "id,caption,style\n"
    + "\n".join(f'{n},"{t.replace(QUOTE, QUOTE * 2)}",a photo' for n, t in enumerate(GOOD)),
    "CSV with longer notes": "caption;note\n" + "\n".join(f'"{t.replace(QUOTE, QUOTE * 2)}";{NOTE}' for t in GOOD),
}


COUNTED = {"lines", "lines apart", "below headings", "below bold headings", "CSV", "tabs", "assignments"}  # told from prose by their number


@pytest.mark.parametrize(("form", "count"), [(form, count) for form in FORMS for count in (0, 3) if count or form not in COUNTED])
def test_a_list_is_read_in_the_form_that_it_has(form, count):
    found, reason = read(FORMS[form], count=count)
    assert reason == ""
    assert [text.replace("’", "'") for text in found] == [*GOOD[:2], "A mug in fog"] if form == "typographic quotes" else found == GOOD


WHY = "1. Each mug is shown in a place of its own\n2. The light of each mug differs a lot\n"


@pytest.mark.parametrize("number", [4, 6])
def test_a_list_of_as_many_as_were_asked_for_counts_before_shorter_and_longer_ones(number):
    asked = [f"A mug of the kind {k} on a table" for k in range(number)]
    listed = "\n".join(f"{k}. {text}" for k, text in enumerate(asked, 1))
    long = json.dumps([f"{DRAFT} {k}" for k in range(5 * number)])
    body = {"content": "", "refusal": "", "finish_reason": "stop"}
    for content in (
        f"{listed}\n\nWhy these work:\n{WHY}",
        f"{long}\nFinal:\n{json.dumps(asked)}",
        f"{long}\nFinal: {json.dumps(asked)}\n{WHY}",
    ):
        assert texts(body | {"content": content}, number) == (asked, "")


@pytest.mark.parametrize("form", sorted(COUNTED - {"CSV", "assignments"}))
@pytest.mark.parametrize("count", [0, 2, 4])
def test_lines_of_another_number_are_prose(form, count):
    assert read(FORMS[form], count=count) == ([], "no JSON")


def test_one_caption_alone_is_read_too():
    for content in (json.dumps({"prompt": ONE}), json.dumps({"prompts": ONE}), json.dumps([ONE]), f"1. {ONE}", f"- {ONE}"):
        assert read(content) == ([ONE], "")
    assert read('Maybe ["A draft mug on a mat"]?\n</think>\n' + json.dumps([ONE])) == ([ONE], "")


@pytest.mark.parametrize(
    ("content", "finish", "expected"),
    [
        (JSON[:-12], "length", ([ONE, TWO], "cut off")),
        (JSON[:-12], "stop", ([ONE, TWO], "broken JSON")),
        ("Sure [1]: " + JSON[:-12], "stop", ([ONE, TWO], "broken JSON")),
        (f"1. {ONE}\n2. {TWO}\n3. A mug in", "length", ([ONE, TWO], "cut off")),
        ("\n".join(json.dumps({"prompt": text}) for text in GOOD)[:-9], "length", ([ONE, TWO], "cut off")),
        ('{"prompts": ["A red', "stop", ([], "broken JSON")),
        ("Sure! What would you like?", "stop", ([], "no JSON")),
        (f"{ONE}\n{TWO}\n", "stop", ([], "no JSON")),  # lines of prose, which thoughts without marks are too
        (json.dumps({"good": [ONE], "rejected": [TWO]}), "stop", ([], "other JSON")),
        (json.dumps({"x": ONE, "y": TWO}), "stop", ([], "other JSON")),
        ("I'm sorry, I can't do that:\n- A mug is not what I draw\n- Ask me something else", "stop", ([], "refusal")),
        ("I can't see pictures, but here are captions: " + JSON, "stop", (GOOD, "")),
        ('{"prompts": []}', "stop", ([], "empty")),
        ("[" * 50_000, "stop", ([], "no JSON")),
        ("{'a': " * 50_000, "stop", ([], "no JSON")),
    ],
)  # fmt: skip
def test_what_is_lost_is_said(content, finish, expected):
    assert read(content, finish) == expected


def test_an_answer_in_the_reasoning_field_counts_where_the_content_is_empty():
    for field in ("reasoning_content", "reasoning"):
        for content in (None, "", " \n"):
            assert read(content, **{field: f"Hm [1]. </think>{JSON}"}) == (GOOD, "")
        assert read(JSON, **{field: json.dumps([DRAFT])}) == (GOOD, "")
        assert read(None, "length", **{field: json.dumps([DRAFT])}) == ([], "cut off"), "cut off while it thought"
    assert read(None) == ([], "empty")
    with pytest.raises(NoCompletion):
        completion(b'{"choices": [{"message": null}]}')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3 mugs on a table", "3 mugs on a table"), ("A mug at 12:30 on a table", "A mug at 12:30 on a table"), ("  1. 2) A mug", "A mug"),
        ('"A mug" and "a cup"', '"A mug" and "a cup"'), ("“A mug”", "A mug"), ("Prompt: a mug", "a mug"),
        ("snake_case_mug here", "snake_case_mug here"),
        ("A mug * a cup", "A mug * a cup"), ("***A mug***", "A mug"),
        ("`A mug`", "A mug"), ("", ""), ("*", "*"), ("**", "**"), ("1.", "1."),
    ],
)  # fmt: skip
def test_numbers_and_emphasis_are_taken_off_and_nothing_else(text, expected):
    assert plain(text) == expected


@pytest.mark.parametrize(
    "content",
    ["*a" * 500_000, "<" * 1_000_000, "</" + "think" * 200_000, "[" * 1_000_000, '["' * 500_000, "{'" * 500_000, "- a b c\n" * 130_000,
     '{"a": 1}' * 120_000, "\n" * 1_000_000, " " * 1_000_000 + "</think>", "“a b c”\n" * 100_000, "\\" * 1_000_000, "[1] " * 250_000],
    ids=lambda content: content[:8],
)  # fmt: skip
def test_a_megabyte_of_anything_is_read_in_seconds(content):
    started = time.process_time()
    read(content)
    after_thoughts(content)
    assert time.process_time() - started < 10
