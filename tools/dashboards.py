"""Makes the Grafana dashboards in configs/grafana/dashboards: `make dashboards`.

Built with Grafana's own SDK, which holds them to its schema. Panels keep to types that have been in Grafana for years
(stat, table, timeseries, state-timeline). Where an absence matters, a description says what it means.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BarAlignment,
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    LineInterpolation,
    ScaleDistribution,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

FOLDER = Path(__file__).parents[1] / "configs" / "grafana" / "dashboards"
SOURCE = DataSourceRef(type_val="prometheus", uid="rtpverify-prometheus")
"""The data source that configs/grafana/provisioning makes."""
FLEET, BENCH, STREAM = "rtpverify-fleet", "rtpverify-bench", "rtpverify-stream"
GOOD, NOTICE, BAD, NOTHING = "green", "orange", "red", "#808080"
DB, DBFS, PPM, SECONDS, PER_SECOND, PART = "dB", "suffix: dBFS", "ppm", "s", "cps", "percentunit"

Panel = timeseries.Panel | stat.Panel | table.Panel | statetimeline.Panel


def query(expr: str, legend: str = "", *, exemplar: bool = False) -> prometheus.Dataquery:
    """Return a query over the time range."""
    return prometheus.Dataquery().expr(expr).legend_format(legend or "__auto").range().exemplar(exemplar)


def now(expr: str, legend: str = "") -> prometheus.Dataquery:
    """Return a query for the end of the time range."""
    return prometheus.Dataquery().expr(expr).legend_format(legend or "__auto").instant()


def steps(*edges: tuple[float | None, str]) -> dashboard.ThresholdsConfig:
    """Return colours by the value from which on each holds; the first has none."""
    return (
        dashboard.ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=value, color=color) for value, color in edges])
    )


NONE_IS_GOOD = steps((None, GOOD), (1e-9, BAD))
NEUTRAL = steps((None, NOTHING))


def words(*values: tuple[str, str, str]) -> list[ValueMap]:
    """Return texts and colours for values."""
    options = {value: ValueMappingResult(text=text, color=color) for value, text, color in values}
    return [ValueMap(options=options)]


UP = words(("1", "UP", GOOD), ("0", "DOWN", BAD))
JUDGED = words(("1", "VERIFIED", GOOD), ("0", "NOT VERIFIED", BAD))


def common_parts(panel: Any, title: str, description: str, targets: Sequence[prometheus.Dataquery]) -> Any:
    """Set what all panels have."""
    panel = panel.title(title).datasource(SOURCE)
    if description:
        panel = panel.description(description)
    for number, target in enumerate(targets):
        panel = panel.with_target(target.ref_id(chr(ord("A") + number)).datasource(SOURCE))
    return panel


def graph(
    title: str,
    unit: str,
    *targets: prometheus.Dataquery,
    description: str = "",
    width: int = 12,
    bars: bool = False,
    log: bool = False,
    least: float | None = None,
) -> timeseries.Panel:
    """Return values over time."""
    panel = common_parts(timeseries.Panel(), title, description, targets).unit(unit).span(width).height(8)
    panel = (
        panel.legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.TABLE)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["min", "max", "lastNotNull"])
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
        .line_interpolation(LineInterpolation.STEP_AFTER)
        .span_nulls(False)
    )
    if least is not None:
        panel = panel.min(least)
    if log:
        panel = panel.scale_distribution(common.ScaleDistributionConfig().type(ScaleDistribution.LOG).log(10))
    if bars:
        return (
            panel.draw_style(GraphDrawStyle.BARS)
            .fill_opacity(80)
            .bar_alignment(BarAlignment.CENTER)
            .stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
        )
    return panel.line_width(1).fill_opacity(5).show_points(VisibilityMode.AUTO)


def figure(
    title: str,
    target: prometheus.Dataquery,
    thresholds: dashboard.ThresholdsConfig,
    *,
    unit: str = "none",
    description: str = "",
    mappings: list[ValueMap] | None = None,
    width: int = 4,
    decimals: int | None = 0,
) -> stat.Panel:
    """Return one number on a coloured ground, to be read from across the room."""
    panel = common_parts(stat.Panel(), title, description, [target]).unit(unit).span(width).height(4)
    panel = (
        panel.thresholds(thresholds)
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .color_mode(BigValueColorMode.BACKGROUND)
        .graph_mode(BigValueGraphMode.NONE)
        .text_mode(BigValueTextMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
        .no_value("–")
    )
    if decimals is not None:
        panel = panel.decimals(decimals)
    return panel.mappings(mappings) if mappings else panel


def states(
    title: str,
    *targets: prometheus.Dataquery,
    mappings: list[ValueMap] | None = None,
    thresholds: dashboard.ThresholdsConfig = NONE_IS_GOOD,
    description: str = "",
    width: int = 24,
    height: int = 6,
) -> statetimeline.Panel:
    """Return states over time, a row each."""
    panel = common_parts(statetimeline.Panel(), title, description, targets).span(width).height(height)
    panel = (
        panel.merge_values(True)
        .show_value(VisibilityMode.NEVER)
        .row_height(0.8)
        .fill_opacity(80)
        .line_width(0)
        .thresholds(thresholds)
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.SINGLE).sort(SortOrder.NONE))
    )
    return panel.mappings(mappings) if mappings else panel


Column = tuple[str, str, str, Any]
"""Heading, expression by stream or another label, unit, and thresholds or value mappings; None leaves it plain."""


def listing(
    title: str,
    key: str,
    heading: str,
    columns: Sequence[Column],
    *,
    description: str = "",
    height: int = 9,
    link: str = "",
) -> table.Panel:
    """Return a table: a row for each value of the labels ``key`` (commas part them), a column for each expression."""
    targets = [now(expr).format(PromQueryFormat.TABLE) for _, expr, _, _ in columns]
    panel = common_parts(table.Panel(), title, description, targets).span(24).height(height).no_value("–")
    value_names = [f"Value #{chr(ord('A') + n)}" if len(columns) > 1 else "Value" for n in range(len(columns))]
    keys, headings = key.split(","), heading.split(",")
    panel = (
        panel.with_transformation(DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(
            DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": {"Time": True},
                    "indexByName": {name: number for number, name in enumerate([*keys, *value_names])},
                    "renameByName": dict(zip(keys, headings, strict=True))
                    | {name: column[0] for name, column in zip(value_names, columns, strict=True)},
                },
            )
        )
        .show_header(True)
        .sort_by([common.TableSortByFieldState().display_name(headings[0]).desc(False)])
    )
    if link:
        panel = panel.override_by_name(
            headings[0],
            [DynamicConfigValue(id_val="links", value=[{"title": "In depth", "url": link, "targetBlank": False}])],
        )
    for name, _, unit, look in columns:
        properties = [DynamicConfigValue(id_val="unit", value=unit)]
        if isinstance(look, list):
            properties.append(DynamicConfigValue(id_val="mappings", value=look))
        elif look is not None:
            properties.append(DynamicConfigValue(id_val="thresholds", value=look.build()))
        if look is not None:
            properties.append(DynamicConfigValue(id_val="color", value={"mode": "thresholds"}))
            properties.append(
                DynamicConfigValue(
                    id_val="custom.cellOptions",
                    value={"type": "color-background", "mode": "basic", "applyToRow": False},
                )
            )
        panel = panel.override_by_name(name, properties)
    return panel


def frame(uid: str, title: str, description: str) -> dashboard.Dashboard:
    """Return an empty dashboard."""
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["rtpverify"])
        .timezone("browser")
        .refresh("5s")
        .time("now-15m", "now")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("rtpverify")
            .type(DashboardLinkType.DASHBOARDS)
            .tags(["rtpverify"])
            .icon("external link")
            .keep_time(True)
            .include_vars(True)
        )
    )


def variable(name: str, label: str, text: str, *, multi: bool) -> dashboard.QueryVariable:
    """Return a choice among the values of a label."""
    made = (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query({"query": text, "refId": "variable"})
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(multi)
        .include_all(multi)
    )
    return made.all_value(".*") if multi else made


def add(board: dashboard.Dashboard, title: str, *panels: Panel) -> None:
    """Add a row of panels."""
    board.with_row(dashboard.Row(title))
    for panel in panels:
        board.with_panel(panel)


def annotation(board: dict[str, Any], selector: str, title: str, text: str) -> None:
    """Mark events in every panel; the fields past the common ones are those of the Prometheus data source."""
    board["annotations"]["list"].append(
        {
            "name": "Events",
            "datasource": SOURCE.to_json(),
            "enable": True,
            "hide": False,
            "iconColor": BAD,
            "expr": "sum by (stream, kind, cause) "
            f"(increase(rtpverify_events_total{{{selector}}}[$__rate_interval])) > 0",
            "titleFormat": title,
            "textFormat": text,
            "tagKeys": "stream,kind,cause",
            "useValueForTime": False,
        }
    )


HOSTS = 'instance=~"$instance"'
ONE = f'{HOSTS}, stream="$stream"'


def bench() -> dict[str, Any]:
    """Return the overview of all streams."""
    board = frame(BENCH, "rtpverify: bench", "All streams at a glance, ongoing faults, and the state of the daemon.")
    board.with_variable(variable("instance", "Daemon", "label_values(rtpverify_build_info, instance)", multi=True))

    def each(expr: str) -> str:
        return expr.replace("{}", f"{{{HOSTS}}}")

    def of(expr: str, how: str = "max") -> str:
        return f"{how} by (stream) ({each(expr)})"

    add(
        board,
        "Now",
        figure("Streams up", now(each("sum(rtpverify_stream_up{})")), steps((None, BAD), (1, GOOD))),
        figure("Streams down", now(each("count(rtpverify_stream_up{}) - sum(rtpverify_stream_up{})")), NONE_IS_GOOD),
        figure(
            "Not verified",
            now(each("sum(rtpverify_stream_up{}) - sum(rtpverify_stream_judged{} or rtpverify_stream_up{})")),
            NONE_IS_GOOD,
            description="Streams that arrive but whose signal is not compared: reference not found, encoding unknown.",
        ),
        figure(
            "Ongoing faults",
            now(each("sum(rtpverify_open_events{}) or vector(0)")),
            NONE_IS_GOOD,
            description="Faults that have started and not ended: distortion, silence, wrong frequency and so on.",
        ),
        figure(
            "Packets lost", now(each("round(sum(increase(rtpverify_packets_lost_total{}[$__range])))")), NONE_IS_GOOD
        ),
        figure(
            "Dropped by this host",
            now(each("round(sum(increase(rtpverify_receive_buffer_dropped_total{}[$__range])))")),
            NONE_IS_GOOD,
            description="Delivered by the network, lost in this host. Above 0, some reported losses are this host's.",
        ),
        listing(
            "Streams",
            "stream",
            "Stream",
            [
                ("State", of("rtpverify_stream_up{}", "min"), "none", UP),
                ("Signal", of("rtpverify_stream_judged{}", "min"), "none", JUDGED),
                ("Faults now", of("rtpverify_open_events{}", "sum"), "none", NONE_IS_GOOD),
                ("Events", f"round({of('increase(rtpverify_events_total{}[$__range])', 'sum')})", "none", NONE_IS_GOOD),
                (
                    "Lost",
                    f"round({of('increase(rtpverify_packets_lost_total{}[$__range])', 'sum')})",
                    "none",
                    NONE_IS_GOOD,
                ),
                ("Level", of("rtpverify_level_dbfs{}", "min"), DBFS, None),
                ("Residual", of("rtpverify_residual_dbfs{}"), DBFS, None),
                ("THD+N", of("rtpverify_thd_plus_n_db{}"), DB, None),
                ("Jitter", of("rtpverify_interarrival_jitter_seconds{}"), SECONDS, None),
                ("Delay factor", of("rtpverify_delay_factor_seconds{}"), SECONDS, None),
                ("Clock", of("rtpverify_clock_drift_ratio{} * 1e6"), PPM, None),
            ],
            description=(
                "Level: the lowest of the channels; residual and THD+N: the highest. "
                "Events and packets lost cover the time range."
            ),
            link=f"/d/{STREAM}?var-stream=${{__data.fields.Stream}}&${{__url_time_range}}",
        ),
    )
    add(
        board,
        "Events",
        states("Streams", query(of("rtpverify_stream_up{}", "min"), "{{stream}}"), mappings=UP, width=12),
        states(
            "Ongoing faults",
            query(of("rtpverify_open_events{}", "sum"), "{{stream}}"),
            description="Green: none; red: at least one. A stream appears after its first lasting fault.",
            width=12,
        ),
        graph(
            "Events",
            "none",
            query(
                f"sum by (stream, kind) (increase(rtpverify_events_total{{{HOSTS}}}[$__rate_interval])) > 0",
                "{{stream}} {{kind}}",
                exemplar=True,
            ),
            description="Exemplars carry the event's id, the same as in log, history and evidence.",
            bars=True,
            least=0,
        ),
        graph(
            "Streams that stopped or never arrived",
            "none",
            query(
                f'sum by (stream, kind) (increase(rtpverify_events_total{{{HOSTS}, kind=~"ended|missing"}}'
                "[$__rate_interval])) > 0",
                "{{stream}} {{kind}}",
                exemplar=True,
            ),
            description="ended: it stopped, and may have resumed; missing: configured, but no packet has arrived.",
            bars=True,
            least=0,
        ),
        graph(
            "Packets lost",
            PART,
            query(
                each(
                    "sum by (stream) (rate(rtpverify_packets_lost_total{}[$__rate_interval])) "
                    "/ (sum by (stream) (rate(rtpverify_packets_expected_total{}[$__rate_interval])) > 0)"
                ),
                "{{stream}}",
            ),
            least=0,
        ),
    )
    add(
        board,
        "Signal",
        graph("Level, lowest channel", DBFS, query(of("rtpverify_level_dbfs{}", "min"), "{{stream}}")),
        graph("Residual, highest channel", DBFS, query(of("rtpverify_residual_dbfs{}"), "{{stream}}")),
    )
    add(
        board,
        "Arrival",
        graph("Jitter", SECONDS, query(of("rtpverify_interarrival_jitter_seconds{}"), "{{stream}}"), width=8, least=0),
        graph("Delay factor", SECONDS, query(of("rtpverify_delay_factor_seconds{}"), "{{stream}}"), width=8, least=0),
        graph("Clock drift", PPM, query(of("rtpverify_clock_drift_ratio{} * 1e6"), "{{stream}}"), width=8),
    )
    p99 = "histogram_quantile(0.99, sum by (instance, le) (rate({}[$__rate_interval])))"

    def lag(name: str) -> str:
        return p99.replace("{}", f"rtpverify_{name}_seconds_bucket{{{HOSTS}}}")

    add(
        board,
        "The daemon",
        graph(
            "CPU use, cores",
            PART,
            query(
                each("rate(rtpverify_busy_seconds_total{}[$__rate_interval])"), "{{instance}} receiving and verifying"
            ),
            query(each("rate(process_cpu_seconds_total{}[$__rate_interval])"), "{{instance}} all of it"),
            width=8,
            least=0,
        ),
        graph(
            "Lag, 99th percentile",
            SECONDS,
            query(lag("processing_lag"), "{{instance}} arrival to verified"),
            query(lag("tick_lag"), "{{instance}} reading late"),
            query(lag("render_duration"), "{{instance}} writing metrics"),
            width=8,
            least=0,
        ),
        graph(
            "Datagrams per batch",
            "none",
            query(
                each(
                    "rate(rtpverify_batch_datagrams_sum{}[$__rate_interval]) "
                    "/ (rate(rtpverify_batch_datagrams_count{}[$__rate_interval]) > 0)"
                ),
                "{{instance}}",
            ),
            width=8,
            least=0,
        ),
        graph(
            "Receive buffer",
            PART,
            query(each("rtpverify_receive_buffer_fill_ratio{}"), "{{instance}} filled"),
            width=8,
            least=0,
        ),
        graph(
            "Packets that were not verified",
            PER_SECOND,
            query(
                each("rate(rtpverify_receive_buffer_dropped_total{}[$__rate_interval])"),
                "{{instance}} dropped by this host",
            ),
            query(each("rate(rtpverify_datagrams_discarded_total{}[$__rate_interval])"), "{{instance}} {{reason}}"),
            width=8,
            least=0,
        ),
        graph(
            "Memory",
            "bytes",
            query(each("process_resident_memory_bytes{}"), "{{instance}}"),
            width=8,
            least=0,
        ),
        graph(
            "Events lost by history, webhook and other sinks",
            PER_SECOND,
            query(
                f'rate(rtpverify_outlet_total{{{HOSTS}, outcome=~"dropped|failed"}}[$__rate_interval])',
                "{{outlet}} {{outcome}}",
            ),
            description="Should stay at 0; verification continues in any case.",
            width=8,
            least=0,
        ),
        graph(
            "Events waiting for sinks",
            "none",
            query(each("rtpverify_outlet_waiting{}"), "{{outlet}}"),
            width=8,
            least=0,
        ),
        graph(
            "Internal errors",
            PER_SECOND,
            query(f"rate(rtpverify_internal_errors_total{{{HOSTS}}}[$__rate_interval])", "{{instance}} {{where}}"),
            description="Should stay at 0; only the affected work is skipped. The log names the traceback's file.",
            width=8,
            least=0,
        ),
        states(
            "Configuration and sinks",
            query(each("rtpverify_config_last_reload_successful{}"), "{{instance}} configuration as read last"),
            query(each("rtpverify_outlet_up{}"), "{{instance}} {{outlet}}"),
            mappings=words(("1", "works", GOOD), ("0", "does not", BAD)),
            width=8,
            height=8,
        ),
    )
    return finished(board, HOSTS, "{{stream}}: {{kind}}", "cause {{cause}}")


def one_stream() -> dict[str, Any]:
    """Return one stream in depth."""
    board = frame(STREAM, "rtpverify: stream", "One stream in depth: events, arrival, signal, legs.")
    board.with_variable(variable("instance", "Daemon", "label_values(rtpverify_build_info, instance)", multi=True))
    board.with_variable(
        variable("stream", "Stream", f"label_values(rtpverify_stream_up{{{HOSTS}}}, stream)", multi=False)
    )

    def of(expr: str) -> str:
        return expr.replace("{}", f"{{{ONE}}}")

    def rate(name: str, more: str = "") -> str:
        return f"rate(rtpverify_{name}{{{ONE}{more}}}[$__rate_interval])"

    def quantile(part: float, name: str, by: str = "") -> str:
        labels = f"{by}, le" if by else "le"
        window = "$__range" if by else "$__rate_interval"
        counts = f"increase(rtpverify_{name}_bucket{{{ONE}}}[{window}])"
        return f"histogram_quantile({part}, sum by ({labels}) ({counts}))"

    add(
        board,
        "Now",
        figure("State", now(of("min(rtpverify_stream_up{})")), steps((None, BAD), (1, GOOD)), mappings=UP),
        figure(
            "Signal",
            now(of("min(rtpverify_stream_judged{})")),
            steps((None, BAD), (1, GOOD)),
            mappings=JUDGED,
            description="NOT VERIFIED: reference not found, encoding unknown, or nothing arrives. –: no reference.",
        ),
        figure("Ongoing faults", now(of("sum(rtpverify_open_events{}) or vector(0)")), NONE_IS_GOOD),
        figure("Packets lost", now(of("round(sum(increase(rtpverify_packets_lost_total{}[$__range])))")), NONE_IS_GOOD),
        figure("Packet time", now(of("max(rtpverify_packet_time_seconds{})")), NEUTRAL, unit=SECONDS, decimals=None),
        figure(
            "Last packet",
            now(of("time() - max(rtpverify_last_packet_timestamp_seconds{})")),
            steps((None, GOOD), (10, BAD)),
            unit=SECONDS,
            description="Time since the last packet; measured every 2 s, updated with every scrape.",
        ),
    )
    add(
        board,
        "Events",
        states(
            "State",
            query(of("min(rtpverify_stream_up{})"), "arrives"),
            query(of("min(rtpverify_stream_judged{})"), "is verified"),
            mappings=words(("1", "yes", GOOD), ("0", "no", BAD)),
            height=5,
        ),
        states(
            "Ongoing faults",
            query(of("sum by (kind, cause) (rtpverify_open_events{})"), "{{kind}} ({{cause}})"),
            description="A kind appears after its first lasting fault.",
        ),
        graph(
            "Events",
            "none",
            query(
                f"sum by (kind, cause) (increase(rtpverify_events_total{{{ONE}}}[$__rate_interval])) > 0",
                "{{kind}} ({{cause}})",
                exemplar=True,
            ),
            description="Exemplars carry the event's id, the same as in log, history and evidence.",
            bars=True,
            least=0,
            width=24,
        ),
        graph(
            "Time down",
            SECONDS,
            query(
                f'sum by (kind) (rtpverify_event_duration_seconds_sum{{{ONE}, kind=~"ended|missing"}})',
                "{{kind}}",
            ),
            description="Total time without packets; rises when packets arrive again.",
            least=0,
            width=24,
        ),
        listing(
            "Events in the time range",
            "kind,cause",
            "Kind,Cause",
            [
                (
                    "Events",
                    of("round(sum by (kind, cause) (increase(rtpverify_events_total{}[$__range]))) > 0"),
                    "none",
                    NONE_IS_GOOD,
                )
            ],
            height=7,
        ),
        listing(
            "Sizes of events, 95th percentile",
            "kind",
            "Kind",
            [
                ("Duration", quantile(0.95, "event_duration_seconds", "kind"), SECONDS, None),
                ("Frames", quantile(0.95, "event_frames", "kind"), "none", None),
                ("Packets", quantile(0.95, "event_packets", "kind"), "none", None),
                ("Level", quantile(0.95, "event_db", "kind"), DB, None),
                ("Deviation", quantile(0.95, "event_deviation_ratio", "kind"), "sci", None),
            ],
            description=(
                "Events that ended within the time range, to the resolution of the buckets; the first event of a kind "
                "after the daemon began does not show. Deviation: part of full scale, or of the reference frequency."
            ),
            height=7,
        ),
    )
    add(
        board,
        "Packets",
        graph("Received", PER_SECOND, query(rate("packets_received_total"), "received"), least=0),
        graph(
            "Irregular packets",
            PER_SECOND,
            *(
                query(rate(f"packets_{name}_total"), name.replace("_", " "))
                for name in ("lost", "duplicated", "reordered", "late", "stray", "odd_length", "left_out")
            ),
            least=0,
        ),
        graph(
            "Fraction of packets lost within and between bursts",
            PART,
            query(of("rtpverify_loss_burst_density_ratio{}"), "within"),
            query(of("rtpverify_loss_gap_density_ratio{}"), "between"),
            description="RFC 3611 with Gmin 16, over the whole stream. Within bursts: absent before the first burst.",
            width=8,
            least=0,
        ),
        graph(
            "Mean duration of bursts and gaps",
            SECONDS,
            query(of("rtpverify_loss_burst_duration_seconds{}"), "bursts"),
            query(of("rtpverify_loss_gap_duration_seconds{}"), "between"),
            width=8,
            log=True,
        ),
        graph("Bursts", "none", query(of("rtpverify_loss_bursts_total{}"), "so far"), width=8, least=0),
        graph(
            "Timestamps",
            "none",
            query(f'sum(rtpverify_open_events{{{ONE}, kind="timestamp_error"}})', "wrong now"),
            query(
                f'sum(increase(rtpverify_events_total{{{ONE}, kind=~"timestamp_.*"}}[$__rate_interval]))',
                "jumps and errors that began",
            ),
            description="Timestamps that contradict the sequence numbers: no packet was lost.",
            width=8,
            least=0,
        ),
    )
    add(
        board,
        "Arrival",
        graph(
            "Time between packets",
            SECONDS,
            *(query(quantile(part, "interarrival_seconds"), f"{100 * part:g} %") for part in (0.5, 0.99, 0.999)),
            query(of("rtpverify_interarrival_max_seconds{}"), "longest so far"),
            description="To the resolution of the buckets: 1, 2, 5, 10 and so on.",
            width=8,
            log=True,
        ),
        graph(
            "Jitter and delay factor",
            SECONDS,
            query(of("rtpverify_interarrival_jitter_seconds{}"), "jitter (RFC 3550)"),
            query(of("rtpverify_interarrival_jitter_max_seconds{}"), "the most so far"),
            query(of("rtpverify_delay_factor_seconds{}"), "delay factor (TS-DF)"),
            query(of("rtpverify_delay_factor_max_seconds{}"), "the most so far, TS-DF"),
            width=8,
            least=0,
        ),
        graph(
            "Clock drift",
            PPM,
            query(of("rtpverify_clock_drift_ratio{} * 1e6"), "against this host"),
            query(of("rtpverify_rtcp_clock_drift_ratio{} * 1e6"), "against its own NTP time"),
            description="Relative to the sender's NTP time: absent if the sender sends no reports.",
            width=8,
        ),
    )
    channel = "channel {{channel}}"
    add(
        board,
        "Signal",
        graph(
            "Level",
            DBFS,
            query(of("rtpverify_level_dbfs{}"), channel),
            description="Absent in digital silence.",
            width=8,
        ),
        graph("Residual", DBFS, query(of("rtpverify_residual_dbfs{}"), channel), width=8),
        graph(
            "Distortion",
            DB,
            query(of("rtpverify_thd_plus_n_db{}"), f"THD+N, {channel}"),
            query(of("rtpverify_thd_db{}"), f"THD, {channel}"),
            width=8,
        ),
        graph(
            "Frequency error",
            PPM,
            query(of("rtpverify_frequency_error_ratio{} * 1e6"), channel),
            width=8,
        ),
        graph("DC offset, fraction of full scale", "sci", query(of("rtpverify_dc_offset_ratio{}"), channel), width=8),
        graph(
            "Smallest detectable click, fraction of full scale",
            "sci",
            query(of("rtpverify_smallest_click_ratio{}"), channel),
            description="A smaller deviation of a single frame is hidden by the noise.",
            width=8,
            log=True,
        ),
        graph(
            "Bit errors",
            PER_SECOND,
            query(rate("bit_errors_total"), channel),
            description="Absent where the noise exceeds quantisation noise.",
            width=8,
            least=0,
        ),
        graph("Word length in use", "none", query(of("rtpverify_effective_word_length{}"), channel), width=8, least=0),
        graph(
            "Crosstalk",
            DB,
            query(of("rtpverify_crosstalk_db{}"), channel),
            description="Absent if no other channel's tone is above the noise or all channels carry the same tone.",
            width=8,
        ),
    )
    add(
        board,
        "Legs of a redundant stream",
        graph(
            "Packets lost per leg",
            PER_SECOND,
            query(rate("leg_packets_lost_total"), "leg {{leg}}"),
            query(rate("packets_lost_total"), "after merging"),
            description="Absent if the stream has a single path.",
            width=8,
            least=0,
        ),
        graph(
            "Delay after the first copy",
            SECONDS,
            query(of("rtpverify_leg_skew_seconds{}"), "leg {{leg}}"),
            width=8,
            least=0,
        ),
        graph("Copies that differ", PER_SECOND, query(rate("packets_differing_total"), "differ"), width=8, least=0),
    )
    return finished(board, ONE, "{{kind}}", "cause {{cause}}")


def fleet() -> dict[str, Any]:
    """Return the sites at a glance: what configs/prometheus/rules/sites.yml records."""
    board = frame(FLEET, "rtpverify: fleet", "All sites at a glance; a site's name leads to its benches.")
    board.with_variable(variable("site", "Site", "label_values(site:rtpverify_benches:count, site)", multi=True))
    chosen = 'site=~"$site"'

    def of(name: str, how: str = "sum") -> str:
        return f"{how}(site:rtpverify_{name}{{{chosen}}})"

    def each(name: str) -> str:
        return f"site:rtpverify_{name}{{{chosen}}}"

    faulty = each("streams_with_open_faults:count")
    add(
        board,
        "Now",
        figure("Benches", now(of("benches:count")), NEUTRAL, description="Daemons that are scraped."),
        figure("Streams", now(of("streams:count")), NEUTRAL),
        figure("Not up", now(f"{of('streams:count')} - {of('streams_up:sum')}"), NONE_IS_GOOD),
        figure("With an ongoing event", now(f"sum({faulty}) or vector(0)"), NONE_IS_GOOD),
        figure(
            "Packets lost",
            now(of("packets_lost:ratio_rate1m", "max")),
            NONE_IS_GOOD,
            unit=PART,
            description="Of the worst site.",
            decimals=None,
        ),
        figure("Events in the last minute", now(of("events:increase1m")), NONE_IS_GOOD),
    )
    add(
        board,
        "Sites",
        listing(
            "Sites",
            "site",
            "Site",
            [
                ("Benches", each("benches:count"), "none", None),
                ("Streams", each("streams:count"), "none", None),
                ("Not up", f"{each('streams:count')} - {each('streams_up:sum')}", "none", NONE_IS_GOOD),
                ("With an ongoing event", faulty, "none", NONE_IS_GOOD),
                ("Lost", each("packets_lost:ratio_rate1m"), PART, NONE_IS_GOOD),
                ("Busiest bench", each("busy:max_ratio_rate1m"), PART, steps((None, GOOD), (0.7, NOTICE), (0.9, BAD))),
                ("Dropped by hosts", each("receive_buffer_dropped:increase1m"), "none", NONE_IS_GOOD),
                ("Internal errors", each("internal_errors:increase1m"), "none", NONE_IS_GOOD),
            ],
            description="Absent: nothing of it. A site that is missing altogether is not scraped.",
            link=f"/d/{BENCH}?${{__url_time_range}}",
        ),
    )
    add(
        board,
        "Over time",
        graph("Streams up", "none", query(each("streams_up:sum"), "{{site}}"), width=12, least=0),
        graph(
            "Events a minute",
            "none",
            query(f"sum by (site, kind) ({each('events:increase1m')}) > 0", "{{site}} {{kind}}"),
            width=12,
            least=0,
        ),
        graph("Packets lost", PART, query(each("packets_lost:ratio_rate1m"), "{{site}}"), width=12, least=0),
        graph("Busiest bench", PART, query(each("busy:max_ratio_rate1m"), "{{site}}"), width=12, least=0),
    )
    return without_events(board)


def without_events(board: dashboard.Dashboard) -> dict[str, Any]:
    """Return a dashboard as Grafana reads it, its panels numbered."""
    data: dict[str, Any] = json.loads(json.dumps(board.build(), cls=JSONEncoder))
    for number, panel in enumerate(data["panels"], 1):
        panel["id"] = number
    data["annotations"] = {"list": []}
    return data


def finished(board: dashboard.Dashboard, selector: str, title: str, text: str) -> dict[str, Any]:
    """Return a dashboard as Grafana reads it, with events marked."""
    data = without_events(board)
    annotation(data, selector, title, text)
    return data


DASHBOARDS = {"fleet.json": fleet, "bench.json": bench, "stream.json": one_stream}


def written(name: str) -> str:
    """Return the text of a dashboard's file."""
    return json.dumps(DASHBOARDS[name](), indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Write the dashboards, or with ``--check`` tell whether they are as written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 where a file is out of date")
    stale = [
        name
        for name in DASHBOARDS
        if not (FOLDER / name).exists() or (FOLDER / name).read_text(encoding="utf-8") != written(name)
    ]
    if parser.parse_args().check:
        for name in stale:
            print(f"{FOLDER / name} is not what tools/dashboards.py makes: run make dashboards", file=sys.stderr)
        return bool(stale)
    for name in stale:
        (FOLDER / name).write_text(written(name), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
