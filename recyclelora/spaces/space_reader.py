"""Reads one key of a space file at a time. Every error names file, line and key."""

import math
from typing import Literal, get_args

from recyclelora.documents import Document, Plain, nearest
from recyclelora.errors import InputError
from recyclelora.settings import Settings, from_document, in_group, known_keys, read_settings
from recyclelora.spaces.space import DISTRIBUTIONS, Asha, Distribution, Knobs, Method, Parameter

MAX_LABEL = 80  # characters of the name of a cell: it is a row of a table, and a tag
KNOB = ("values", "value", "min", "max", "distribution", "when")
CHOSEN = {"value": "constant", "values": "categorical"}  # W&B's names of the distributions that need no bounds


class Reader:
    """Reads one key of a space file at a time; each complaint names file, line and key."""

    def __init__(self, document: Document) -> None:
        self.document = document

    def fail(self, message: str, *keys: str) -> InputError:
        name = ": ".join(keys[1:] if keys[0] == "parameters" else keys)
        return InputError(f"{self.document.where(*keys)}: {name}: {message}")

    def group(self, *keys: str) -> dict[str, Plain]:
        node: Plain = self.document.data
        for key in keys:
            node = node.get(key) if isinstance(node, dict) else None
        if node is None and len(keys) == 1 and keys[0] not in self.document.data:
            return {}
        if not isinstance(node, dict):
            raise self.fail(f"expected `key: value` lines, found {node!r}", *keys)
        return node

    def text(self, key: str) -> str:
        value = self.document.data.get(key, "")
        if not isinstance(value, str):
            raise self.fail(f"expected text, found {value!r}", key)
        return " ".join(value.split())

    def count(self, key: str, minimum: int = 1) -> int | None:
        value = self.document.data.get(key)
        if value is None and key not in self.document.data:
            return None
        if not _is_int(value) or value < minimum:  # type: ignore[operator]
            raise self.fail(f"expected a whole number from {minimum}, found {value!r}", key)
        return value  # type: ignore[return-value]

    def settings(self) -> Settings:
        base = self.document.data.get("base")
        settings = Settings()
        if base is not None:
            if not isinstance(base, str):
                raise self.fail(f"expected the path of a config file, found {base!r}", "base")
            settings = read_settings(self.document.path.parent / base)
        if "config" in self.document.data:
            own = from_document(self.document, "config")
            settings = settings.override(own.values, own.origins)
        settings.resolve()
        return settings

    def method(self) -> Method:
        method = self.document.data.get("method")
        if method not in get_args(Method):
            raise self.fail(f"expected one of {', '.join(get_args(Method))}, found {method!r}", "method")
        return method  # type: ignore[return-value]

    def metric(self) -> tuple[str, Literal["maximize", "minimize"]]:
        metric = self.group("metric") or {"name": "miou/source", "goal": "maximize"}
        for key in metric:
            if key not in ("name", "goal"):
                raise self.fail("unknown; a metric has a name and a goal", "metric", key)
        name, goal = metric.get("name"), metric.get("goal", "maximize")
        if name not in ("miou/source", "miou/target_mean"):
            raise self.fail(f"{name!r} is not reported during training; known: miou/source, miou/target_mean (an "
                            "oracle: it selects on the test domains)", "metric", "name")
        if goal not in ("maximize", "minimize"):
            raise self.fail(f"expected maximize or minimize, found {goal!r}", "metric", "goal")
        return name, goal  # type: ignore[return-value]

    def seeds(self) -> tuple[int, ...]:
        seeds = self.document.data.get("seeds", [0])
        if not isinstance(seeds, list) or not seeds:
            raise self.fail(f"expected a list such as [0, 1, 2], found {seeds!r}", "seeds")
        for seed in seeds:
            if not _is_int(seed) or seed < 0:  # type: ignore[operator]
                raise self.fail(f"{seed!r} is not a whole number from 0", "seeds")
        if len(set(seeds)) < len(seeds):  # type: ignore[arg-type]
            raise self.fail(f"{seeds} names a seed twice; a repeated seed is the same trial", "seeds")
        return tuple(seeds)  # type: ignore[arg-type]

    def named_knobs(self, section: str) -> dict[str, Knobs]:
        """Knobs by the name given to them; `{}` is a name for the base config itself."""
        named = {label: from_document(self.document, section, label).values for label in self.group(section)}
        for label, knobs in named.items():
            if not label.strip() or len(label) > MAX_LABEL or not label.isprintable():
                raise InputError(f"{self.document.where(section, label)}: {section}: {label[:40]!r}: a name has 1 to "
                                 f"{MAX_LABEL} characters in one line")
            for key in knobs:
                if key not in known_keys() or key == "seed" or key.startswith("resources."):
                    raise InputError(f"{self.document.where(section, label, key)}: {key}: no setting that a cell can "
                                     f"have{nearest(key, known_keys())}")
        return named

    def early_terminate(self) -> Asha | None:
        rule = self.group("early_terminate")
        if not rule:
            return None
        for key in rule:
            if key not in ("type", "min_iter", "eta"):
                raise self.fail("unknown; known: type, min_iter, eta", "early_terminate", key)
        if rule.get("type") != "asha":
            raise self.fail(f"expected asha, found {rule.get('type')!r}", "early_terminate", "type")
        minimum, eta = rule.get("min_iter"), rule.get("eta", 3)
        if not _is_int(minimum) or minimum < 1:  # type: ignore[operator]
            raise self.fail(f"expected a number of iterations, found {minimum!r}", "early_terminate", "min_iter")
        if not _is_int(eta) or eta < 2:  # type: ignore[operator]
            raise self.fail(f"expected a whole number from 2, found {eta!r}", "early_terminate", "eta")
        return Asha(minimum, eta)  # type: ignore[arg-type]

    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(self.parameter(key) for key in self.group("parameters"))

    def parameter(self, key: str) -> Parameter:
        at = ("parameters", key)
        if key not in known_keys() or key == "seed" or key.startswith("resources."):
            raise self.fail(f"no setting that can be swept{_instead(key)}", *at)
        given = self.group(*at)
        for name in given:
            if name not in KNOB:
                raise self.fail(f"unknown{nearest(name, KNOB)}", *at, name)
        when, unless = self.conditions(*at)
        if ("value" in given) + ("values" in given) + ("min" in given or "max" in given) != 1:
            raise self.fail("give either `values: [...]` or `min` and `max`, or one `value`", *at)
        chosen = "value" if "value" in given else "values" if "values" in given else ""
        if chosen and given.get("distribution", CHOSEN[chosen]) != CHOSEN[chosen]:
            raise self.fail(f"{given['distribution']!r} means nothing with `{chosen}`, which are chosen from evenly; "
                            "leave it out, or give `min` and `max`", *at, "distribution")
        if chosen:
            values = self.values(*at) if chosen == "values" else (given["value"],)
            return Parameter(key, values, when=when, unless=unless)
        low, high, distribution = self.range(*at)
        return Parameter(key, (), low, high, distribution, when, unless)

    def values(self, *at: str) -> tuple[Plain, ...]:
        values = self.group(*at)["values"]
        if not isinstance(values, list) or not values:
            raise self.fail(f"expected a list of at least one value, found {values!r}", *at, "values")
        for position, value in enumerate(values):
            if isinstance(value, float) and not math.isfinite(value):
                raise self.fail(f"{value} is not a finite number", *at, "values")
            if (type(value), value) in [(type(other), other) for other in values[:position]]:
                raise self.fail(f"{value!r} is listed twice", *at, "values")
        return tuple(values)

    def range(self, *at: str) -> tuple[float, float, Distribution]:
        given = self.group(*at)
        bounds = []
        for name in ("min", "max"):
            bound = given.get(name)
            if isinstance(bound, bool) or not isinstance(bound, int | float) or not math.isfinite(bound):
                raise self.fail(f"expected a finite number, found {bound!r}", *at, name)
            bounds.append(bound)
        low, high = bounds
        if low >= high:
            raise self.fail(f"{low} is not below max ({high}); swap or widen them", *at, "min")
        default = "int_uniform" if isinstance(low, int) and isinstance(high, int) else "uniform"
        distribution = given.get("distribution", default)
        distribution = "log_uniform" if distribution == "log_uniform_values" else distribution  # as W&B writes it
        if distribution not in DISTRIBUTIONS:
            raise self.fail(_advice(distribution), *at, "distribution")
        if str(distribution).startswith("int") and not (_is_int(low) and _is_int(high)):
            raise self.fail(f"{distribution} needs whole bounds, found {low} and {high}", *at, "distribution")
        if "log" in str(distribution) and low <= 0:
            wrong = f"{low} has no logarithm"
            if low == 0:
                raise self.fail(f"{wrong}: min of {distribution} must be above 0", *at, "min")
            raise self.fail(f"{wrong}: min and max of {distribution} are values of the knob, not exponents as in W&B's "
                            f"log_uniform{_powers(low, high)}", *at, "min")
        return low, high, distribution  # type: ignore[return-value]

    def conditions(self, *at: str) -> tuple[dict[str, tuple[Plain, ...]], dict[str, tuple[Plain, ...]]]:
        when: dict[str, tuple[Plain, ...]] = {}
        unless: dict[str, tuple[Plain, ...]] = {}
        if "when" not in self.group(*at):
            return when, unless
        for key, condition in self.group(*at, "when").items():
            chosen = when
            if isinstance(condition, dict):
                if list(condition) != ["not"]:
                    raise self.fail("expected a value, a list of values, or {not: value}", *at, "when", key)
                condition, chosen = condition["not"], unless
            chosen[key] = tuple(condition) if isinstance(condition, list) else (condition,)
        return when, unless


def _instead(key: str) -> str:
    """Where a key belongs that cannot be swept, or what is like it."""
    if key == "seed":
        return "; list them under `seeds:`"
    if key.startswith("resources."):
        return "; resources are no part of what a trial is: set them under `config:`"
    if members := in_group(key):
        return f"; it is a group, sweep one of its settings: {', '.join(sorted(members)[:8])}"
    return nearest(key, known_keys())


def _advice(distribution: object) -> str:
    """What to use in place of a distribution that is not offered, such as W&B's others."""
    name = str(distribution)
    advice = ""
    if name in ("categorical", "constant"):
        advice = "; give `values: [...]`, or one `value`, instead of `min` and `max`"
    elif name.startswith("q_"):
        whole = "int_log_uniform" if "log" in name else "int_uniform"
        advice = f"; for whole numbers use {whole}, for other steps list the `values`"
    elif name.endswith("normal") or name in ("beta", "inv_log_uniform", "inv_log_uniform_values"):
        advice = "; use uniform or log_uniform"
    return f"{name!r} is not offered{advice or nearest(name, (*DISTRIBUTIONS, 'log_uniform_values'))}"


def _powers(low: float, high: float) -> str:
    """The bounds that somebody meant who gave exponents of e, as W&B's log_uniform takes them."""
    return f"; for e^{low} to e^{high} write min: {math.exp(low):.4g}, max: {math.exp(high):.4g}" if high < 50 else ""


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
