"""A notebook's parameters: the literals of its one cell tagged `parameters`, and the strict check of what a run wants to change in them.

papermill itself only warns about an unknown name and exits 0; here every mistake is one sentence before a kernel starts. Where papermill,
nbval or a person runs the notebook without our runner, its first cell calls `check`: the same check, at the first moment there is.
"""

import ast
import difflib
import io
import re
import tokenize
from dataclasses import dataclass, fields
from typing import Any

from aa_utils.errors import InputError
from aa_utils.files import text
from aa_utils.paths import ROOT, expanded, resolve
from aa_utils.redaction import NAME as SECRET_NAME
from aa_utils.redaction import TOKEN as SECRET_VALUE  # noqa: F401  (for whoever looks for keys in texts)
from aa_utils.redaction import secret_in
from aa_utils.runner import addresses, input_paths, papermill_call, parameter_limits, parameter_meanings
from aa_utils.runner.code_closure import cells as cells_of
from aa_utils.runner.out_folder import check_out, check_writable
from aa_utils.runner.parameter_types import CommandLine, cast, shown, texts
from aa_utils.runner.yaml_values import read_yaml

COMPUTES_NOTHING = "what a run is asked for: its record says it"


@dataclass(frozen=True)
class Parameter:
    """One line `name = default  # comment` of a parameters cell."""

    name: str
    default: object
    comment: str

    @property
    def is_input(self) -> bool:
        """True if its comment starts with `input:`, `input or hub id:`, `input, hub id or name:` or `input or name:`, or these with
        `optional `: it names files."""
        return re.match(r"(optional )?input( or hub id|, hub id or name| or name)?:", self.comment) is not None

    @property
    def not_empty(self) -> bool:
        """True for a list whose comment starts with `at least one`, or with `input:`: for none of them a run would do nothing."""
        return isinstance(self.default, list) and self.comment.startswith(("at least one", "input:"))

    @property
    def or_text(self) -> bool:
        """True for a switch that names files too (`pretrained`): it takes true, false or text."""
        return isinstance(self.default, bool) and self.is_input


def of_notebook(cells: list[dict], name: str) -> list[Parameter]:
    """The parameters of a notebook from its `cells`; `name` is for messages.

    Errors: InputError unless exactly one cell has the tag `parameters` and it holds nothing but `name = literal` lines.
    """
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    if len(tagged) != 1:
        raise InputError(f"{name} has {len(tagged)} cells tagged 'parameters'; it needs exactly one")
    if tagged[0]["cell_type"] != "code":
        raise InputError(f"the cell of {name} tagged 'parameters' is not a code cell")
    return parse(tagged[0]["source"], name)


def parse(source: str, name: str) -> list[Parameter]:
    """The parameters in the source of a parameters cell, in order. Errors: InputError for any line that is not `name = literal`."""
    try:
        statements = ast.parse(source).body
        tokens = [token for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type == tokenize.COMMENT]
    except (SyntaxError, tokenize.TokenError) as error:
        raise InputError(f"the parameters cell of {name} is not Python: {error}") from error
    comments = {token.start[0]: token.string.lstrip("# ").strip() for token in tokens}
    found: dict[str, Parameter] = {}
    for statement in statements:
        line = f"line {statement.lineno} of the parameters cell of {name}"
        if not (isinstance(statement, ast.Assign) and len(statement.targets) == 1 and isinstance(statement.targets[0], ast.Name)):
            raise InputError(f"{line} is not 'name = literal'; other code belongs in a later cell")
        target = statement.targets[0].id
        try:
            default = ast.literal_eval(statement.value)
        except ValueError:
            raise InputError(f"{line}: the value of '{target}' is computed; papermill cannot replace it, so write a literal") from None
        if target in found:
            raise InputError(f"{line} sets '{target}' a second time")
        lines = range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
        found[target] = Parameter(target, default, next((comments[number] for number in lines if number in comments), ""))
    return list(found.values())


def of_settings(*settings: Any) -> list[Parameter]:
    """The fields of dataclass instances as parameters: their values are the defaults. Of a name that several have the first counts."""
    found: dict[str, Parameter] = {}
    for one in settings:
        for field in fields(one):
            found.setdefault(field.name, Parameter(field.name, getattr(one, field.name), field.metadata.get("comment", "")))
    return list(found.values())


def overrides(settings: list[str], file: str | None) -> dict[str, object]:
    """The values a run asks for: those of the YAML `file`, then the `name=value` texts of the command line (kept as text)."""
    values: dict[str, object] = {}
    if file is not None:
        path = expanded(file)
        path = path if path.is_file() else resolve(file)
        if not path.is_file():
            raise InputError(f"no parameter file at '{file}'")
        loaded = read_yaml(text.read(path, f"'{file}'"), f"'{file}'")
        if not isinstance(loaded, dict):
            raise InputError(f"'{file}' must hold 'name: value' lines")
        values.update({str(name): value for name, value in loaded.items()})
    seen = set()
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.isidentifier():
            raise InputError(f"--set takes name=value; got '{shown(setting)}'")
        if name in seen:
            raise InputError(f"'{name}' is set twice")
        seen.add(name)
        values[name] = CommandLine(value)
    return values


def checked(parameters: list[Parameter], wanted: dict[str, object], name: str, paths: bool = True) -> dict[str, object]:
    """All parameters of the notebook `name` with the `wanted` values put in, each in the type of its default.

    `paths` False: whether inputs are there is not looked at. Errors: InputError for an unknown name, a wrong type, a secret, an `out` that
    is no run's own, or an input that is not there.
    """
    values = merged(parameters, wanted, name)
    if "out" not in values:
        raise InputError(f"{name} has no parameter 'out'; a run needs the folder it writes to")
    if not isinstance(values["out"], str) or not values["out"].strip():
        raise InputError("'out' is empty; give the folder this run writes to, such as out=artifacts/my/run")
    check_out(values["out"])
    parameter_meanings.check(values)
    _choose_precision(values)
    for parameter in parameters:
        if parameter.not_empty and not values[parameter.name]:
            raise InputError(f"'{parameter.name}' is an empty list, and the run would do nothing ({parameter.comment})")
        if paths and parameter.is_input:
            input_paths.check(parameter.name, parameter.comment, values[parameter.name], values["out"])
    return values


def merged(parameters: list[Parameter], wanted: dict[str, object], name: str) -> dict[str, object]:
    """The defaults of `parameters` with the `wanted` values put in, each in the type of its default.

    Errors: InputError for an unknown name (`name` says of what), a wrong type, a number without sense, or a secret.
    """
    known = {parameter.name: parameter for parameter in parameters}
    for key, value in wanted.items():
        held = next(filter(None, map(secret_in, texts(value))), "")
        if held or SECRET_NAME.search(key):
            raise InputError(
                f"'{shown(key)}' looks like a secret{f' (it holds {held})' if held else ''}; "
                "secrets come from the environment (OPENAI_API_KEY), never from parameters"
            )
        if secret := next(filter(None, map(addresses.secret_in, texts(value))), ""):
            raise InputError(
                f"'{key}' holds {secret}, which every file of the run would keep; secrets come from the environment (OPENAI_API_KEY)"
            )
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else f"; it has {', '.join(known)}"
            raise InputError(f"{name} has no parameter '{key}'{hint}")
    values = {key: _cast(known[key], wanted[key]) if key in wanted else known[key].default for key in known}
    for key, value in values.items():
        parameter_limits.check(key, value)
    return values


def check(notebook: str, namespace: dict[str, object]) -> None:
    """Check the parameters in `namespace` (a notebook's `globals()`) as the runner does, and put each into the type of its default.

    `notebook` is its name in `notebooks/`, without the ending. Text becomes what the runner makes of it: papermill's `-p seeds '[0]'` hands
    over text, `-y 'lr: 1e-4'` too. Errors: InputError, as of `checked`; also for an unknown name in the cell that papermill injected.
    """
    name = f"{notebook}.ipynb"
    known = {parameter.name: parameter for parameter in of_notebook(cells_of(ROOT / "notebooks" / name), name)}
    strangers = [each for each in namespace if each not in known and not each.startswith("_")]
    for lost in (key for key in known if key not in namespace):
        if near := difflib.get_close_matches(lost, strangers, n=1, cutoff=0.75):
            raise InputError(f"{name} has no parameter '{near[0]}', and '{lost}' has no value; write '{lost}' in the parameters cell")
    for key in _injected(namespace.get("In", [])):
        if key.isidentifier() and key not in known:
            merged(list(known.values()), {key: None}, name)  # says that there is none, and which is near
        elif not key.isidentifier():
            raise InputError(f"papermill sets whole parameters, and got '{shown(key)}'; give the whole value, as in -y 'name: [a, b]'")
    typed = {key: (_as_typed(known[key], value), where) for key, (value, where) in papermill_call.values().items() if key in known}
    wanted = {key: _as_typed(known[key], namespace[key]) for key in known if key in namespace}
    found = checked(list(known.values()), wanted, name)
    check_writable("out", str(found["out"]))
    for key, (value, where) in typed.items():
        if (meant := _cast(known[key], value)) != _cast(known[key], wanted[key]):
            read = f"papermill reads {shown(wanted[key])!r} where YAML of today has {shown(meant)!r}"
            raise InputError(f"'{key}' of {where}: {read}; write it so that both agree, a text in quotes, a number without leading zeros")
    namespace.update(found)


def _as_typed(parameter: Parameter, value: object) -> object:
    """A value in a kernel as the command line would have it: text stands for what it says, unless text is what the parameter takes."""
    if isinstance(value, str) and parameter.default is not None and not isinstance(parameter.default, str):
        return CommandLine(value)
    if isinstance(parameter.default, str) and isinstance(value, (bool, int, float)):
        key, got = parameter.name, shown(value)
        raise InputError(f"'{key}' takes text; got {got}, as papermill's -p reads it: hand it over with -r {key} …")
    if not isinstance(value, (str, bool, int, float, list, tuple, dict, bytes, set, type(None))):
        raise InputError(f"'{parameter.name}' holds a {type(value).__name__} now; run the parameters cell again before this one")
    return value


def _injected(executed: object) -> list[str]:
    """What the newest cell that papermill injected assigns to; nothing in a session without one."""
    if not isinstance(executed, list):  # `-p In 5`: IPython's history is gone
        return ["In"]
    source = next((source for source in reversed(executed) if source.startswith("# Parameters\n")), "")
    return [ast.unparse(target) for node in ast.parse(source).body if isinstance(node, ast.Assign) for target in node.targets]


def inputs(parameters: list[Parameter], values: dict[str, object]) -> list[tuple[str, str]]:
    """(parameter name, path) of every input of a run that lies on this disk; a list of paths gives one pair each."""
    pairs = [(p.name, path) for p in parameters if p.is_input for path in texts(values[p.name])]
    return [(key, path) for key, path in pairs if path and input_paths.exists(path)]


def _cast(parameter: Parameter, value: object) -> object:
    if parameter.or_text and isinstance(value, str) and not isinstance(read_yaml(value, f"the value of '{parameter.name}'"), bool):
        return str(value)
    return cast(parameter.name, value, parameter.default)


def _choose_precision(values: dict[str, object]) -> None:
    """Say what `amp` and `dtype` of "auto" are on this machine, so that a run's identity and record hold it."""
    chosen = {name: values[name] for name in ("amp", "dtype") if name in values}
    if "auto" in chosen.values():
        from aa_utils import devices  # torch, which nothing else here needs

        answers, device = {"amp": devices.precision, "dtype": devices.dtype}, str(values.get("device", "auto"))
        values.update({name: answers[name](str(value), device) for name, value in chosen.items()})
