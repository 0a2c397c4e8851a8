"""Text and JSON that the command `kerascli evaluate` prints."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from kerascli.cli import options
from kerascli.foundation.errors import safe_text

if TYPE_CHECKING:
    from kerascli.metrics.classification import Point
    from kerascli.runs.record import RunRecord
    from kerascli.workflow.evaluate import Evaluation
    from kerascli.workflow.evaluation.groups import Group

    Groups = Mapping[str, Sequence[Group]]
    Chosen = Mapping[str, Point]

Rows = Sequence[Mapping[str, Any]]


def evaluation_text(evaluation: "Evaluation", groups: "Groups", chosen: "Chosen", worst: Rows) -> str:
    """Return an evaluation as text, with groups of rows, chosen thresholds by output, and the rows with the largest
    losses."""
    from kerascli.report.console import evaluation_lines, metrics_text
    from kerascli.report.tables import value_text
    from kerascli.report.text_tables import class_table, matrix_table, threshold_table

    result = evaluation.result
    lines = evaluation_lines(result.split, result.logs, result.baselines, f"({result.rows:,} rows)")
    lines += [f"  {safe_text(name)} in its units  {metrics_text(logs)}" for name, logs in evaluation.in_units.items()]
    for column, values in groups.items():
        lines += ["", *_group_lines(evaluation, column, values)]
    for scores in evaluation.class_scores:
        positive = safe_text(scores.names[1])
        lines += ["", *([scores.label] if len(evaluation.class_scores) > 1 else [])]
        if scores.threshold is not None:
            lines += [f"'{positive}' where its probability is above {scores.threshold:.4g}:"]
            lines += [matrix_table(scores.matrix.tolist(), scores.names), ""]
        lines += [class_table(scores.rows)]
        if scores.thresholds is not None:
            roc, precision = map(value_text, (scores.thresholds.roc_auc, scores.thresholds.average_precision))
            areas = f"ROC AUC {roc}, average precision {precision}"
            lines += ["", f"'{positive}' where its probability is above a threshold ({areas})"]
            lines += [threshold_table(scores.thresholds.table())]
        if (point := chosen.get(scores.output)) is not None:
            lines += ["", threshold_table([point]), f"predict with --threshold {point.threshold:.9g}"]
    return "\n".join([*lines, *_worst_lines(worst)]) + "\n"


def evaluation_json(
    record: "RunRecord", evaluation: "Evaluation", groups: "Groups", chosen: "Chosen", worst: Rows
) -> dict[str, Any]:
    """Return what `evaluation_text` shows of a run as JSON data."""
    result, scores = evaluation.result, {each.output: each for each in evaluation.class_scores}
    curves = {output: each.thresholds for output, each in scores.items() if each.thresholds is not None}
    asked = {
        "groups": {column: {group.name: _group_facts(evaluation, values, group) for group in values}
                   for column, values in groups.items()},
        "chosen": {output: asdict(point) for output, point in chosen.items()}, "worst": worst,
    }  # fmt: skip
    return {
        "run": str(record.archive or record.path),
        "split": result.split, "rows": result.rows, "results": dict(result.logs), "baselines": result.baselines,
        "classes": {output: [*map(asdict, each.rows)] for output, each in scores.items()},
        "confusion_matrices": {name: each.matrix.tolist() for name, each in scores.items() if each.has_matrix},
        "label_thresholds": {output: each.threshold for output, each in scores.items()},
        "in_units": evaluation.in_units,
        "thresholds": {output: {"roc_auc": each.roc_auc, "average_precision": each.average_precision,
                                "table": [*map(asdict, each.table())]} for output, each in curves.items()},
        **{name: value for name, value in asked.items() if value},
    }  # fmt: skip


def _group_lines(evaluation: "Evaluation", column: str, groups: "Sequence[Group]") -> Iterator[str]:
    """Yield the heading, if any, and the table of the groups of a column."""
    from kerascli.report.console import number_text
    from kerascli.report.text_tables import text_table

    for target, metrics in evaluation.in_units.items():
        yield f"{', '.join(map(safe_text, metrics))} of '{safe_text(target)}' in its units"
    names = [safe_text(text, 30) for text in (column, *(group.name for group in groups))]
    columns = [names, ["rows", *(f"{group.rows:,}" for group in groups)]]
    for output in groups[0].positives:
        heading = "positives" if len(groups[0].positives) == 1 else f"{output} positives"
        columns.append([heading, *(f"{group.positives[output]:,}" for group in groups)])
    for name in dict.fromkeys([*evaluation.result.logs, *(name for group in groups for name in group.shown)]):
        values = [number_text(group.shown[name]) if name in group.shown else "-" for group in groups]
        columns.append([safe_text(name), *values])
    yield text_table(columns, width=options.terminal_width())


def _worst_lines(rows: Rows) -> Iterator[str]:
    """Yield the table of the rows with the largest losses, with their cells if they have some."""
    from kerascli.report.tables import value_text
    from kerascli.report.text_tables import text_table

    if rows:
        named = [name for name in rows[0] if name not in {"cells", "pictures"}]
        columns = [[name, *(row.get(name, "") for row in rows)] for name in named]
        columns += [[name, *(row["cells"].get(name, "") for row in rows)] for name in rows[0].get("cells", ())]
        texts = [[safe_text(value_text(cell), 30) for cell in column] for column in columns]
        yield from ("", text_table(texts, width=options.terminal_width()))


def _group_facts(evaluation: "Evaluation", groups: "Sequence[Group]", group: "Group") -> dict[str, Any]:
    """Return the evaluation of one of the groups of a column as JSON data; undefined metrics are None."""
    names = [*evaluation.result.logs, *(name for each in groups for name in each.logs)]
    results = {**dict.fromkeys(names), **group.logs}
    in_units = {key: {**dict.fromkeys(logs), **group.in_units[key]} for key, logs in evaluation.in_units.items()}
    return {"rows": group.rows, "positives": group.positives, "results": results, "in_units": in_units}
