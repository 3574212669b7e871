"""TensorBoard event files, by TensorBoard's own writer."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

import numpy as np

from devkit.exports.figures import Figures
from devkit.extras import needed

_BINS = 30


def write(figures: Figures, folder: Path) -> str:
    """Write into ``folder/NAME``; where, and how to look at it."""
    # Before anything is written: the writer makes its file at once.
    protocol = needed("tensorboard.compat.proto.event_pb2", "tensorboard")
    summary = needed("tensorboard.compat.proto.summary_pb2", "tensorboard")
    writers = needed("tensorboard.summary.writer.event_file_writer", "tensorboard")
    place = folder / figures.name
    writer = writers.EventFileWriter(str(place))
    for point in figures.points:
        values = [summary.Summary.Value(tag=k, simple_value=v) for k, v in point.values.items()]
        if point is figures.points[-1]:
            values += [_histogram(summary, k, v) for k, v in figures.spreads.items()]
            values.append(_text(summary, figures.about))
        writer.add_event(
            protocol.Event(
                wall_time=point.time, step=point.step, summary=summary.Summary(value=values)
            )
        )
    writer.close()
    return f"{place}; look: tensorboard --logdir {folder}"


def _histogram(summary: Any, name: str, values: array[float]) -> Any:
    """A histogram in TensorBoard's old form, which its plugins convert."""
    known = np.asarray(values)
    counts, edges = np.histogram(known, bins=_BINS)
    proto = summary.HistogramProto(
        min=float(known.min()),
        max=float(known.max()),
        num=float(known.size),
        sum=float(known.sum()),
        sum_squares=float(np.square(known).sum()),
        bucket_limit=[float(edge) for edge in edges[1:]],
        bucket=[float(count) for count in counts],
    )
    return summary.Summary.Value(tag=f"spread/{name}", histo=proto)


def _text(summary: Any, about: dict[str, str]) -> Any:
    """What was played, for the tab of texts."""
    tensors = needed("tensorboard.compat.proto.tensor_pb2", "tensorboard")
    types = needed("tensorboard.compat.proto.types_pb2", "tensorboard")
    table = "\n".join(["| | |", "|---|---|", *(f"| {k} | `{v}` |" for k, v in about.items())])
    metadata = summary.SummaryMetadata(
        plugin_data=summary.SummaryMetadata.PluginData(plugin_name="text")
    )
    tensor = tensors.TensorProto(dtype=types.DT_STRING, string_val=[table.encode()])
    return summary.Summary.Value(tag="about", metadata=metadata, tensor=tensor)
