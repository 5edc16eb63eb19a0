// One card a chart: title, drawing (dygraphs), and a legend with the values at the moment that is looked at. All charts
// share their time and that moment.

const COLOURS = 8; // --line-0 and on in page.css
const LINES_MOST = 6; // of routes in one chart

// dygraphs' own legend writes style attributes, which the page's policy forbids.
Dygraph.PLUGINS = Dygraph.PLUGINS.filter((plugin) => plugin !== Dygraph.Plugins.Legend);

function element(name, properties, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties || {}))
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function colourOf(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// A line: label, value of a point, and colour by its number. `looked` is what the page looks at: { route: '' or a name }.
function seriesPoint(point, looked) {
  return looked.route === '' ? point.all : point.routes.get(looked.route) || (point.remembered ? null : EMPTY);
}
const EMPTY = { requests: 0, rate: 0, errors4xx: 0, errors5xx: 0, hitRatio: NaN, sharedRatio: NaN, p50: NaN, p95: NaN, p99: NaN, heat: null };

function ofRoute(label, colour, name, more) {
  return { label, colour, value: (point, looked) => { const one = seriesPoint(point, looked); return one ? one[name] : NaN; }, ...more };
}
function ofLevels(label, colour, name) {
  return { label, colour, value: (point) => point.levels[name] };
}
function ofRefused(label, colour, cause) {
  return { label, colour, value: (point) => point.refused[cause] };
}

// With all routes: those that were asked most, the rest together.
function rateLines(points, looked, names) {
  if (looked.route !== '') return [ofRoute(looked.route, names.indexOf(looked.route) % COLOURS, 'rate')];
  const sums = new Map();
  for (const point of points)
    if (!point.gap) for (const [name, route] of point.routes) sums.set(name, (sums.get(name) || 0) + route.requests);
  const most = names.filter((name) => sums.has(name)).sort((a, b) => sums.get(b) - sums.get(a)).slice(0, LINES_MOST);
  const lines = most.map((name) => ({
    label: name,
    colour: names.indexOf(name) % COLOURS,
    value: (point) => point.remembered ? NaN : (point.routes.get(name) || EMPTY).rate,
  }));
  return [{ label: 'all', colour: 'strong', value: (point) => point.all.rate }, ...lines];
}

const CHARTS = [
  { id: 'rate', title: 'Rate', unit: 'requests a second', format: format.rate, least: 1, lines: rateLines },
  { id: 'errors', title: 'Errors', unit: 'answers a second', format: format.rate, least: 1,
    lines: () => [ofRoute('5xx', 'bad', 'errors5xx'), ofRoute('4xx', 'warn', 'errors4xx')] },
  { id: 'latency', title: 'Latency', unit: 'logarithmic', format: format.us, log: true,
    lines: () => [ofRoute('p99', 3, 'p99'), ofRoute('p95', 1, 'p95'), ofRoute('p50', 0, 'p50')] },
  { id: 'heat', title: 'Latency heat map', unit: 'how many answers took how long', heat: true },
  { id: 'hits', title: 'Hit ratio', unit: 'of lookups', format: format.percent, most: 1,
    lines: () => [ofRoute('with Redis, coalesced and stale', 2, 'sharedRatio'), ofRoute('from shared memory', 0, 'hitRatio')] },
  { id: 'cpu', title: 'CPU', unit: 'of one processor', format: format.percent, least: 0.2,
    lines: () => [ofLevels('all workers', 0, 'cpu'), ofLevels('busiest worker', 1, 'busiest')] },
  { id: 'memory', title: 'Memory', unit: 'in use', format: format.bytes, least: 1 << 20, ticker: powersOfTwo,
    lines: () => [ofLevels('workers\u2019 own', 0, 'privateBytes'), ofLevels('cache', 2, 'cacheBytes')] },
  { id: 'pool', title: 'Pool saturation', unit: 'database connections at work', format: format.percent, most: 1, filled: true,
    lines: () => [ofLevels('active of most', 0, 'poolRatio')] },
  { id: 'waiting', title: 'Waiting', unit: 'requests', format: format.rate, least: 4,
    lines: () => [ofLevels('for a connection', 0, 'poolWaiting'), ofLevels('for others to end', 1, 'permitsWaiting'),
      ofLevels('for another\u2019s fetch', 2, 'flightsWaiting'), ofLevels('all in flight', 'strong', 'inFlight')] },
  { id: 'shed', title: 'Shed and limited', unit: 'requests a second', format: format.rate, least: 1,
    lines: () => [ofRefused('shed in all', 'strong', 'shed'), ofRefused('too many at once', 0, 'too many at once'),
      ofRefused('queue full or down', 1, 'queue full or down'), ofRefused('memory short', 3, 'memory short'),
      ofRefused('waited too long', 4, 'waited too long'), ofRefused('asked too often', 2, 'asked too often')] },
];

class Card {
  constructor(chart, page) {
    this.chart = chart;
    this.page = page;
    this.plot = element('div', { className: 'plot', role: 'img', 'aria-label': chart.title });
    this.legend = element('ul', { className: 'legend' });
    this.root = element('section', { className: `card ${chart.id}`, 'aria-labelledby': `${chart.id}-title` },
      element('h3', { id: `${chart.id}-title` }, chart.title, ' ', element('small', {}, chart.unit)), this.plot, this.legend);
    this.lines = [];
    this.rows = [];
  }

  // As dygraphs wants them: it breaks a line at null, and goes over what is undefined.
  rowsOf(points, looked) {
    return points.map((point) => [new Date(point.at), ...this.lines.map((line) => {
      const value = point.gap ? null : line.value(point, looked);
      return isNone(value) || (this.chart.log && value <= 0) ? null : value;
    })]);
  }

  draw(points, looked, names, window) {
    this.lines = this.chart.lines(points, looked, names);
    this.rows = this.rowsOf(points, looked);
    const options = {
      file: this.rows.length ? this.rows : [[new Date(window[0]), ...this.lines.map(() => null)]],
      labels: ['time', ...this.lines.map((line, i) => `${line.label} ${i}`)],
      colors: this.lines.map((line) => colourOf(`--line-${line.colour}`)),
      dateWindow: window,
      valueRange: this.rangeOf(),
    };
    if (this.graph) this.graph.updateOptions(options);
    else this.graph = this.create(options);
    this.writeLegend();
  }

  rangeOf() {
    const { least = 0, most, log } = this.chart;
    const values = this.rows.flatMap((row) => row.slice(1)).filter((value) => value !== null);
    if (log) {
      const low = values.length ? values.reduce((a, b) => Math.min(a, b)) : 100;
      const high = values.length ? values.reduce((a, b) => Math.max(a, b)) : 10000;
      return [low / 2, Math.max(high * 2, low * 10)];
    }
    return [0, most ? most * 1.04 : values.reduce((a, b) => Math.max(a, b), least) * 1.1];
  }

  create({ file, ...options }) {
    const { chart, page } = this;
    const short = (value) => chart.format(value).replace(/(\.\d*?)0+(?!\d)/, '$1').replace(/\.(?!\d)/, '');
    return new Dygraph(this.plot, file, {
      ...options,
      ...this.colours(),
      axes: {
        x: { axisLabelFormatter: (date) => page.seconds > 900 ? format.shortTime(date) : format.time(date), pixelsPerLabel: 90, drawGrid: false },
        y: { axisLabelFormatter: short, ticker: chart.log ? decades : chart.ticker || Dygraph.numericTicks, axisLabelWidth: 58, pixelsPerLabel: 28, includeZero: true },
      },
      logscale: Boolean(chart.log),
      axisLabelFontSize: 11,
      strokeWidth: 1.6,
      highlightCircleSize: 3,
      fillGraph: Boolean(chart.filled),
      fillAlpha: 0.12,
      connectSeparatedPoints: false,
      interactionModel: {},
      highlightCallback: (event, x) => page.lookAt(x),
      unhighlightCallback: () => page.lookAt(null),
    });
  }

  colours() {
    return { axisLineColor: colourOf('--rule'), gridLineColor: colourOf('--grid') };
  }

  recolour() {
    if (this.graph) this.graph.updateOptions(this.colours(), true);
  }

  // index: of the row that is looked at; -1: the latest.
  select(index) {
    if (!this.graph) return;
    this.index = index;
    if (index < 0) this.graph.clearSelection();
    else this.graph.setSelection(index);
    this.writeLegend();
  }

  writeLegend() {
    const at = this.index >= 0 ? this.index : this.rows.length - 1;
    const row = this.rows[at] || [];
    const texts = this.lines.map((line, i) => this.chart.format(row[i + 1]));
    this.legend.replaceChildren(...this.lines.map((line, i) => element('li', {},
      element('i', { className: `swatch line-${line.colour}`, 'aria-hidden': 'true' }), line.label, ' ', element('b', {}, texts[i]))));
    this.plot.setAttribute('aria-label', `${this.chart.title}: ${this.lines.map((line, i) => `${line.label} ${texts[i]}`).join(', ')}`);
  }
}

function powersOfTwo(low, high, pixels, options) {
  const label = options('axisLabelFormatter');
  const step = 2 ** Math.ceil(Math.log2(Math.max(1, high / Math.max(2, pixels / 32))));
  return Array.from({ length: Math.floor(high / step) + 1 }, (_, i) => ({ v: i * step, label: label(i * step) }));
}

// 1, 10, 100 us ... and what lies between where there is room.
function decades(low, high, pixels, options) {
  const ticks = [];
  const label = options('axisLabelFormatter');
  const parts = Math.log10(high / low) > 3 ? [1] : [1, 2, 5];
  for (let decade = 10 ** Math.floor(Math.log10(low)); decade <= high; decade *= 10)
    for (const part of parts)
      if (decade * part >= low && decade * part <= high) ticks.push({ v: decade * part, label: label(decade * part) });
  return ticks;
}
