// The figures beside the charts: tiles and tables. They are written anew with each answer, but a row, a button and so the
// place of the keyboard stay while what they show is the same.

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// columns: { title, text(row), left, grade(row), sort(row), cell(row) }. Rows have a key.
class Table {
  constructor(id, columns, nothing) {
    this.columns = columns;
    this.nothing = nothing;
    this.table = document.getElementById(id);
    this.body = element('tbody');
    this.rows = new Map();
    this.empty = element('tr', { className: 'nothing' }, element('td', { colSpan: columns.length }, nothing));
    this.table.append(element('thead', {}, element('tr', {}, ...columns.map((column) => this.headOf(column)))), this.body);
  }

  headOf(column) {
    const head = element('th', { scope: 'col', className: column.left ? 'left' : '' });
    if (!column.sort) {
      head.append(column.title);
      return head;
    }
    head.append(element('button', { type: 'button', onclick: () => this.sortBy(column) }, column.title));
    column.head = head;
    return head;
  }

  sortBy(column) {
    this.down = this.sorted === column ? !this.down : true;
    this.sorted = column;
    for (const other of this.columns) if (other.head) other.head.removeAttribute('aria-sort');
    column.head.setAttribute('aria-sort', this.down ? 'descending' : 'ascending');
    this.show(this.data || []);
  }

  inOrder(data) {
    const { sorted, down } = this;
    if (!sorted) return data;
    const value = (row) => { const it = sorted.sort(row); return Number.isNaN(it) ? -1 : it; };
    const compare = (a, b) => value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0;
    return [...data].sort((a, b) => down ? compare(b, a) : compare(a, b));
  }

  show(data) {
    this.data = data;
    const rows = this.inOrder(data).map((row) => this.rowOf(row));
    const keys = new Set(data.map((row) => row.key));
    for (const key of this.rows.keys()) if (!keys.has(key)) this.rows.delete(key);
    const wanted = rows.length ? rows : [this.empty];
    if (wanted.length !== this.body.children.length || wanted.some((row, i) => this.body.children[i] !== row)) {
      const kept = document.activeElement;
      this.body.replaceChildren(...wanted);
      if (kept && this.body.contains(kept)) kept.focus();
    }
  }

  rowOf(row) {
    let made = this.rows.get(row.key);
    if (!made) {
      made = element('tr', {}, ...this.columns.map((column, i) => {
        const cell = element(i === 0 ? 'th' : 'td', { className: column.left ? 'left' : '' });
        if (i === 0) cell.scope = 'row';
        if (column.cell) cell.append(column.cell(row));
        return cell;
      }));
      this.rows.set(row.key, made);
    }
    this.columns.forEach((column, i) => {
      if (column.text) setText(made.cells[i], column.text(row));
      if (column.grade) made.cells[i].dataset.grade = column.grade(row);
    });
    return made;
  }
}

const PART_OF_SHARE = 0.0005;

function objectiveOf(figures) {
  return figures.objectiveUs ? `${format.percent(figures.overRatio)} over ${format.us(figures.objectiveUs)}` : NONE;
}

function routesTable(choose) {
  return new Table('routes', [
    { title: 'Route', left: true, sort: (row) => row.key,
      cell: (row) => element('button', { type: 'button', className: 'route', title: 'Show this route in the charts', onclick: () => choose(row.key) }, row.key) },
    { title: 'Rate', text: (row) => `${format.rate(row.figures.rate)}/s`, sort: (row) => row.figures.rate },
    { title: 'Share', text: (row) => row.share < PART_OF_SHARE ? NONE : format.percent(row.share), sort: (row) => row.figures.rate },
    { title: 'Hits', text: (row) => format.percent(row.figures.hitRatio), sort: (row) => row.figures.hitRatio },
    { title: '4xx', text: (row) => format.count(row.figures.errors4xx), sort: (row) => row.figures.errors4xx,
      grade: (row) => row.figures.errors4xx ? 'warn' : '' },
    { title: '5xx', text: (row) => format.count(row.figures.errors5xx), sort: (row) => row.figures.errors5xx,
      grade: (row) => row.figures.errors5xx ? 'bad' : '' },
    { title: 'p50', text: (row) => formatQuantile(row.figures.times, 0.5), sort: (row) => row.figures.times.quantile(0.5) },
    { title: 'p95', text: (row) => formatQuantile(row.figures.times, 0.95), sort: (row) => row.figures.times.quantile(0.95) },
    { title: 'p99', text: (row) => formatQuantile(row.figures.times, 0.99), sort: (row) => row.figures.times.quantile(0.99) },
    { title: 'Over objective', text: (row) => objectiveOf(row.figures), sort: (row) => row.figures.overRatio },
  ], 'No route is configured.');
}

// A busy machine makes every loop wait for some time.
const STUCK_US = 1000000;

function isStuck(worker) {
  return worker.loop_stuck_us >= STUCK_US;
}

const STATES = ['free', 'starting', 'ready', 'draining'];

function workersTable() {
  return new Table('workers', [
    { title: 'Slot', text: (row) => String(row.slot) },
    { title: 'Process', text: (row) => String(row.pid) },
    { title: 'State', left: true, text: (row) => isStuck(row) ? `stuck for ${format.us(row.loop_stuck_us)}` : STATES[row.state || 0] || '?',
      grade: (row) => isStuck(row) ? 'bad' : '' },
    { title: 'CPU', text: (row) => format.percent(row.cpu), grade: (row) => row.cpu > 0.9 ? 'bad' : row.cpu > 0.75 ? 'warn' : '' },
    { title: 'Memory', text: (row) => format.bytes(row.private_bytes) },
    { title: 'In flight', text: (row) => format.count(row.in_flight || 0) },
    { title: 'Connections', text: (row) => format.count(row.connections || 0) },
    { title: 'Restarts', text: (row) => format.count(row.restarts || 0), grade: (row) => row.restarts ? 'warn' : '' },
    { title: 'Up for', text: (row) => row.age },
  ], 'No worker lives.');
}

function slowTable() {
  return new Table('slow', [
    { title: 'Number', text: (row) => String(row.number) },
    { title: 'Ago', text: (row) => row.age },
    { title: 'Route', left: true, text: (row) => row.route },
    { title: 'Time', text: (row) => format.us(row.run_us) },
    { title: 'Wait', text: (row) => format.us(row.wait_us) },
    { title: 'Rows', text: (row) => format.count(row.rows) },
    { title: 'Ended with', left: true, text: (row) => row.state || NONE, grade: (row) => row.state ? 'bad' : '' },
    { title: 'Query', left: true, text: (row) => row.fingerprint },
  ], 'None has been slow.');
}

function eventsTable() {
  return new Table('events', [
    { title: 'Time', left: true, text: (row) => format.time(row.at_us / 1000) },
    { title: 'Ago', text: (row) => row.age },
    { title: 'Event', left: true, text: (row) => row.kind },
    { title: 'Slot', text: (row) => row.slot === null ? NONE : row.slot < 0 ? 'keeper' : String(row.slot) },
    { title: 'What', left: true, text: (row) => row.text },
  ], 'Nothing has happened.');
}

// ---- tiles

function grade(value, warn, bad) {
  return value >= bad ? 'bad' : value >= warn ? 'warn' : '';
}

const MEMORY_LEVELS = ['', 'alert', 'the cache shrinks', 'misses are refused'];

const TILES = [
  { title: 'Rate', text: (f) => format.rate(f.all.rate), unit: '/s' },
  { title: 'Errors', text: (f) => format.percent(ratio(f.all.errors4xx + f.all.errors5xx, f.all.requests)),
    more: (f) => `${format.count(f.all.errors5xx)} of 5xx`, grade: (f) => f.all.errors5xx ? 'bad' : '' },
  { title: 'p50', text: (f) => formatQuantile(f.all.times, 0.5) },
  { title: 'p95', text: (f) => formatQuantile(f.all.times, 0.95) },
  { title: 'p99', text: (f) => formatQuantile(f.all.times, 0.99) },
  { title: 'Hit ratio', text: (f) => format.percent(f.all.hitRatio) },
  { title: 'CPU', text: (f) => format.percent(f.levels.cpu), more: (f) => `of ${f.workers.length * 100}${NARROW}%`,
    grade: (f) => grade(f.levels.cpu / f.workers.length, 0.75, 0.9) },
  { title: 'Memory', text: (f) => format.percent(f.levels.memoryRatio),
    more: (f) => MEMORY_LEVELS[f.levels.memoryLevel] || `workers ${format.bytes(f.levels.privateBytes)}`,
    grade: (f) => f.levels.memoryLevel > 1 ? 'bad' : f.levels.memoryLevel ? 'warn' : '' },
  { title: 'Pool', text: (f) => format.percent(f.levels.poolRatio),
    more: (f) => `${f.levels.poolActive} of ${f.levels.poolMax}, ${format.count(f.levels.poolWaiting)} wait`,
    grade: (f) => f.levels.poolWaiting ? 'bad' : grade(f.levels.poolRatio, 0.8, 2) },
  { title: 'Shed', text: (f) => format.rate(f.refused.shed), unit: '/s',
    more: (f) => `${format.rate(f.refused['asked too often'])}/s limited`, grade: (f) => f.refused.shed ? 'bad' : '' },
];

class Tiles {
  constructor(root) {
    this.tiles = TILES.map((tile) => {
      const value = element('span'), more = element('small');
      const box = element('div', {}, element('dt', {}, tile.title), element('dd', {}, value, more));
      root.append(box);
      return { of: tile, value, more, box };
    });
  }

  // null: nothing is known.
  show(figures) {
    for (const { of, value, more, box } of this.tiles) {
      setText(value, figures ? of.text(figures) + (of.unit || '') : NONE);
      setText(more, figures && of.more ? of.more(figures) : '\u00a0');
      box.dataset.grade = figures && of.grade ? of.grade(figures) : '';
    }
  }
}
