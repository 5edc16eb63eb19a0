"""What the rounds came to: the table, the summary, the gate and the file of JSON."""
import dataclasses
import statistics

from .load import Run

GATE_LOOP = 1.10  # perfd's CPU time a request by the bare loop's, at most
GATE_NGINX = 1.00  # by nginx + lua's, less than
SUMMARY_MODE, SUMMARY_CONNECTIONS = "keepalive", 64
COLUMNS = {"per_second": "11,.0f", "busy": "6.0%", "cpu_us": "9.2f", "kernel_us": "9.2f", "p50_us": "9,.0f",
           "p99_us": "9,.0f"}
HEAD = "  server             requests/s  busy   CPU us   kernel   p50 us   p99 us  CPU/perfd"


@dataclasses.dataclass
class Row:
    """One shape of request, measured with each server in turn. runs[name][round] is a Run, or a text without one."""
    shape: object
    runs: dict

    def failure(self, name):
        """What went wrong in any round; "" if nothing."""
        texts = [run.failures if isinstance(run, Run) else run for run in self.runs[name]]
        return "; ".join(f"round {number}: {text}" for number, text in enumerate(texts, 1) if text)

    def measured(self, name):
        return name in self.runs and not self.failure(name)

    def median(self, name, figure):
        return statistics.median(getattr(run, figure) for run in self.runs[name])

    def ratio(self, above, below):
        """Of CPU time a request: median, least and greatest of the rounds' ratios. None: one has no figures."""
        if not self.measured(above) or not self.measured(below):
            return None
        ratios = [a.cpu_us / b.cpu_us for a, b in zip(self.runs[above], self.runs[below])]
        return statistics.median(ratios), min(ratios), max(ratios)

    def line(self, name, title):
        if self.failure(name):
            return f"  {title:18} FAILED: {self.failure(name)}"
        ratio = self.ratio(name, "perfd")
        figures = [f"{self.median(name, figure):{style}}" for figure, style in COLUMNS.items()]
        return f"  {title:18}{''.join(figures)}{f'{ratio[0]:.2f}' if ratio else '-':>11}"

    def as_json(self):
        def plain(run):
            return dataclasses.asdict(run) if isinstance(run, Run) else {"failures": run}
        return {**dataclasses.asdict(self.shape), "failed": [name for name in self.runs if self.failure(name)],
                "servers": {name: [plain(run) for run in runs] for name, runs in self.runs.items()}}


def print_row(row, titles):
    print(f"\n{row.shape}\n{HEAD}")
    for name in row.runs:
        print(row.line(name, titles[name]), flush=True)


def _summed(rows):
    return [row for row in rows
            if (row.shape.mode, row.shape.connections) == (SUMMARY_MODE, SUMMARY_CONNECTIONS) and "perfd" in row.runs]


def _text(ratio):
    return "not measured" if ratio is None else f"{ratio[0]:.2f} ({ratio[1]:.2f} to {ratio[2]:.2f})"


def print_summary(rows, peers, titles):
    """peers: those that perfd is divided by."""
    for row in _summed(rows):
        ratios = ",  ".join(f"/ {titles[peer]} {_text(row.ratio('perfd', peer))}" for peer in peers)
        print(f"perfd, CPU a request, {row.shape.body:,} B, {row.shape.fields} fields:  {ratios}")


def gate_problems(rows):
    """Why the comparison does not pass; what was not measured does not."""
    summed = _summed(rows)
    if not summed:
        return [f"no row with perfd, {SUMMARY_MODE}, {SUMMARY_CONNECTIONS} connections"]
    problems = []
    for row in summed:
        loop, nginx = row.ratio("perfd", "loop"), row.ratio("perfd", "nginx")
        if loop is None or loop[0] > GATE_LOOP:
            problems.append(f"{row.shape}: {_text(loop)} of the bare loop, at most {GATE_LOOP:.2f} is wanted")
        if nginx is None or nginx[0] >= GATE_NGINX:
            problems.append(f"{row.shape}: {_text(nginx)} of nginx + lua, less than {GATE_NGINX:.2f} is wanted")
    return problems


def as_json(rows, peers, about):
    def ratios(row):
        found = {peer: row.ratio("perfd", peer) for peer in peers}
        return {peer: dict(zip(("median", "least", "greatest"), ratio)) for peer, ratio in found.items() if ratio}
    summary = [{"body": row.shape.body, "fields": row.shape.fields, "perfd_by": ratios(row)} for row in _summed(rows)]
    return {**about, "rows": [row.as_json() for row in rows], "summary": summary}
