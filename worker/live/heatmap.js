// The latency heat map: time to the right, latency upwards on a logarithmic scale, the darker (in the dark: the brighter)
// the more answers. A card like those of the charts.

const HEAT_LEFT = 62; // as wide as the labels of the other charts
const HEAT_BOTTOM = 18;
const MARKS_MS = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800].map((seconds) => seconds * 1000);
const HEAT_STEPS = 6; // --heat-0 and on in page.css

class HeatCard extends Card {
  constructor(chart, page) {
    super(chart, page);
    this.canvas = element('canvas');
    this.plot.append(this.canvas);
    this.plot.addEventListener('mousemove', (event) => this.hover(event));
    this.plot.addEventListener('mouseleave', () => page.lookAt(null));
    this.index = -1;
  }

  draw(points, looked, names, window) {
    this.points = points;
    this.looked = looked;
    this.window = window;
    this.rows = points;
    this.paint();
    this.writeLegend();
  }

  heatOf(point) {
    const one = point && !point.gap ? seriesPoint(point, this.looked) : null;
    return one ? one.heat : null;
  }

  // The rows of the map that are shown: those that have answers, eight at least.
  bounds() {
    let low = HEAT_ROWS, high = 0;
    for (const point of this.points) {
      const heat = this.heatOf(point);
      if (heat) heat.forEach((n, row) => { if (n) { low = Math.min(low, row); high = Math.max(high, row); } });
    }
    if (low > high) return [16, 32];
    low = Math.max(0, low - 1);
    return [low, Math.min(HEAT_ROWS, Math.max(high + 2, low + 8))];
  }

  fit() {
    const scale = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.plot;
    if (this.canvas.width !== Math.round(width * scale) || this.canvas.height !== Math.round(height * scale)) {
      this.canvas.width = Math.round(width * scale);
      this.canvas.height = Math.round(height * scale);
    }
    const context = this.canvas.getContext('2d');
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    return { context, width, height: height - HEAT_BOTTOM };
  }

  xOf(at, width) {
    const [begin, end] = this.window;
    return HEAT_LEFT + (at - begin) / (end - begin) * (width - HEAT_LEFT);
  }

  // Points that fall on the same pixels are one column; one that lasted for several is spread over them.
  columns(width) {
    const columns = new Map();
    const step = Math.max(3, (width - HEAT_LEFT) / ((this.window[1] - this.window[0]) / 1000));
    for (const point of this.points) {
      const heat = this.heatOf(point);
      if (!heat) continue;
      const columnOf = (at) => Math.floor((this.xOf(at, width) - HEAT_LEFT) / step);
      const last = columnOf(point.at), first = Math.max(0, Math.min(last, columnOf(point.at - point.spanMs) + 1));
      for (let at = first; at <= last; at++) {
        const sum = columns.get(at) || new Float64Array(HEAT_ROWS);
        heat.forEach((n, row) => { sum[row] += n / (last - first + 1); });
        columns.set(at, sum);
      }
    }
    return { columns, step };
  }

  paint() {
    const { context, width, height } = this.fit();
    const [low, high] = this.bounds();
    const yOf = (row) => height - (row - low) / (high - low) * height;
    this.paintAxes(context, width, height, low, high, yOf);
    const { columns, step } = this.columns(width);
    let most = 1;
    for (const sum of columns.values()) most = Math.max(most, ...sum);
    const colours = Array.from({ length: HEAT_STEPS }, (_, i) => colourOf(`--heat-${i}`));
    for (const [at, sum] of columns)
      for (let row = low; row < high; row++) {
        if (!sum[row]) continue;
        context.fillStyle = colours[Math.min(HEAT_STEPS - 1, Math.floor(HEAT_STEPS * Math.log(sum[row] + 1) / Math.log(most + 2)))];
        context.fillRect(HEAT_LEFT + at * step, yOf(row + 1), Math.ceil(step), yOf(row) - yOf(row + 1) + 0.5);
      }
    this.paintMoment(context, width, height);
  }

  paintAxes(context, width, height, low, high, yOf) {
    context.font = '11px system-ui, sans-serif';
    context.strokeStyle = colourOf('--grid');
    context.fillStyle = colourOf('--quiet');
    context.textAlign = 'right';
    context.textBaseline = 'middle';
    const least = heatRowBeginsUs(low), most = heatRowBeginsUs(high);
    for (let us = 10 ** Math.ceil(Math.log10(least)); us <= most; us *= 10) {
      const y = Math.round(yOf(2 * Math.log2(us / HEAT_LEAST_US))) + 0.5;
      context.beginPath();
      context.moveTo(HEAT_LEFT, y);
      context.lineTo(width, y);
      context.stroke();
      context.fillText(format.us(us).replace(/\.0+/, ''), HEAT_LEFT - 6, Math.max(7, Math.min(height - 4, y)));
    }
    context.textAlign = 'center';
    const [begin, end] = this.window;
    const step = MARKS_MS.find((ms) => (end - begin) / ms * 90 <= width - HEAT_LEFT) || end - begin;
    for (let at = Math.ceil(begin / step) * step; at <= end; at += step)
      if (this.xOf(at, width) < width - 24)
        context.fillText(this.page.seconds > 900 ? format.shortTime(at) : format.time(at), this.xOf(at, width), height + 10);
  }

  paintMoment(context, width, height) {
    const point = this.points[this.index];
    if (!point) return;
    context.fillStyle = colourOf('--text');
    context.fillRect(Math.round(this.xOf(point.at, width)), 0, 1, height);
  }

  hover(event) {
    const box = this.plot.getBoundingClientRect();
    const [begin, end] = this.window;
    const at = begin + (event.clientX - box.left - HEAT_LEFT) / (box.width - HEAT_LEFT) * (end - begin);
    this.page.lookAt(at);
  }

  select(index) {
    this.index = index;
    if (this.window) this.paint();
    this.writeLegend();
  }

  recolour() {
    if (this.window) this.paint();
  }

  writeLegend() {
    const point = this.points && (this.points[this.index] || this.points[this.points.length - 1]);
    const heat = this.heatOf(point);
    const total = heat ? heat.reduce((sum, n) => sum + n, 0) : 0;
    let text = 'no answers';
    if (total) {
      const used = [...heat.keys()].filter((row) => heat[row]);
      text = `${format.count(total)} answers, ${format.us(heatRowBeginsUs(used[0]))} to ${format.us(heatRowBeginsUs(used[used.length - 1] + 1))}`;
    }
    const ramp = Array.from({ length: HEAT_STEPS }, (_, i) => element('i', { className: `swatch heat-${i}`, 'aria-hidden': 'true' }));
    this.legend.replaceChildren(element('li', {}, 'few ', ...ramp, ' many'), element('li', {}, element('b', {}, text)));
    this.plot.setAttribute('aria-label', `${this.chart.title}: ${text}`);
  }
}
