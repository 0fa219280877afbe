"""Logistic regression in plain Python: enough to train, evaluate and look at, with nothing to install."""

import math
import operator
import random
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
FEATURES = ("length", "width")


@dataclass(frozen=True)
class Model:
    """Weights and bias over features that are first brought to mean 0 and deviation 1."""

    weights: tuple[float, ...]
    bias: float
    means: tuple[float, ...]
    deviations: tuple[float, ...]

    def probability(self, row: Row) -> float:
        """How likely the row is of class 1."""
        scaled = _scaled(row, self.means, self.deviations)
        return _sigmoid(self.bias + sum(map(operator.mul, self.weights, scaled)))

    def predict(self, row: Row) -> int:
        """The likelier class, 0 or 1."""
        return int(self.probability(row) >= 0.5)


def samples(count: int, seed: int) -> list[Row]:
    """Made-up leaves of two kinds (class 0 and 1), which overlap a little; always the same for a seed."""
    rng = random.Random(seed)
    found = []
    for number in range(count):
        kind = number % 2
        length, width = rng.gauss(5.0 + 2.0 * kind, 0.7), rng.gauss(3.0 - 1.0 * kind, 0.5)
        found.append({"length": round(length, 3), "width": round(width, 3), "kind": kind})
    return found


def split(rows: list[Row], share: float, seed: int) -> tuple[list[Row], list[Row]]:
    """The rows to train with and those to test with, which are `share` of them."""
    shuffled = random.Random(seed).sample(rows, len(rows))
    cut = round(len(rows) * share)
    return shuffled[cut:], shuffled[:cut]


def train(rows: list[Row], rate: float, rounds: int) -> tuple[Model, list[float]]:
    """The model after so many rounds of gradient descent, and the loss after each of them."""
    columns = [[row[name] for row in rows] for name in FEATURES]
    means = tuple(sum(column) / len(column) for column in columns)
    deviations = tuple(
        math.sqrt(sum((value - mean) ** 2 for value in column) / len(column)) or 1.0
        for column, mean in zip(columns, means, strict=True)
    )
    model, losses = Model((0.0,) * len(FEATURES), 0.0, means, deviations), []
    for _ in range(rounds):
        errors = [model.probability(row) - row["kind"] for row in rows]
        scaled = zip(*(_scaled(row, means, deviations) for row in rows), strict=True)
        slopes = [sum(map(operator.mul, errors, values)) / len(rows) for values in scaled]
        weights = tuple(weight - rate * slope for weight, slope in zip(model.weights, slopes, strict=True))
        model = Model(weights, model.bias - rate * sum(errors) / len(rows), means, deviations)
        losses.append(loss(model, rows))
    return model, losses


def loss(model: Model, rows: list[Row]) -> float:
    """The mean cross-entropy of the rows."""
    total = 0.0
    for row in rows:
        probability = min(max(model.probability(row), 1e-9), 1 - 1e-9)
        total -= math.log(probability if row["kind"] else 1 - probability)
    return total / len(rows)


def evaluate(model: Model, rows: list[Row]) -> dict[str, float]:
    """Accuracy, precision and recall of class 1, and the loss."""
    pairs = [(model.predict(row), row["kind"]) for row in rows]
    hits = sum(guess == kind == 1 for guess, kind in pairs)
    guessed, there = sum(guess for guess, _ in pairs), sum(kind for _, kind in pairs)
    return {
        "accuracy": sum(guess == kind for guess, kind in pairs) / len(pairs),
        "precision": hits / guessed if guessed else 0.0,
        "recall": hits / there if there else 0.0,
        "loss": loss(model, rows),
    }


def _scaled(row: Row, means: tuple[float, ...], deviations: tuple[float, ...]) -> list[float]:
    columns = zip(FEATURES, means, deviations, strict=True)
    return [(row[name] - mean) / deviation for name, mean, deviation in columns]


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-max(min(value, 700.0), -700.0)))
