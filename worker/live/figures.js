// What two answers of /stats say of the time between them. Counters only grow while a perfd lives; of two lives there is
// no difference, and so no rate.

// The times of a route's answers, of which each is in one, and of all answers.
const KINDS = ['hit', 'miss', 'error', 'answer'];

// Rows of the heat map: two for each power of two, from 1 us to 67 s, where the histograms end.
const HEAT_ROWS = 52;
const HEAT_LEAST_US = 1;

function heatRow(us) {
  if (us <= HEAT_LEAST_US) return 0;
  return Math.min(HEAT_ROWS - 1, Math.floor(2 * Math.log2(us / HEAT_LEAST_US)));
}

function heatRowBeginsUs(row) {
  return HEAT_LEAST_US * 2 ** (row / 2);
}

// Times by their bucket's upper edge.
class Times {
  constructor() {
    this.counts = new Map();
    this.count = 0;
  }

  add(us, n) {
    this.counts.set(us, (this.counts.get(us) || 0) + n);
    this.count += n;
  }

  addAll(times) {
    for (const [us, n] of times.counts) this.add(us, n);
  }

  // The nearest rank, as perfctl has it. NaN when there is none.
  quantile(q) {
    const wanted = q * this.count;
    let seen = 0;
    for (const us of [...this.counts.keys()].sort((a, b) => a - b)) {
      seen += this.counts.get(us);
      if (seen >= wanted) return us;
    }
    return NaN;
  }

  heat() {
    const rows = new Uint32Array(HEAT_ROWS);
    for (const [us, n] of this.counts) rows[heatRow(us)] += n;
    return rows;
  }
}

function timesBetween(earlier, later) {
  const times = new Times();
  let i = 0;
  for (let j = 0; j < later.le_us.length; j++) {
    const us = later.le_us[j];
    while (earlier && i < earlier.le_us.length && earlier.le_us[i] < us) i++;
    const before = earlier && earlier.le_us[i] === us ? earlier.counts[i] : 0;
    if (later.counts[j] > before) times.add(us, later.counts[j] - before);
  }
  return times;
}

function ratio(part, whole) {
  return whole > 0 ? part / whole : NaN;
}

// Figures of one route, or of all, in a time of `seconds`.
class RouteFigures {
  constructor(seconds) {
    this.seconds = seconds;
    this.requests = this.hits = this.misses = this.stale = this.fetched = this.errors4xx = this.errors5xx = 0;
    this.within = this.over = this.objectiveUs = 0;
    this.times = new Times();
  }

  add(earlier, later) {
    const grown = (name) => Math.max(0, (later[name] || 0) - (earlier ? earlier[name] || 0 : 0));
    this.requests += grown('requests');
    this.hits += grown('hits');
    this.misses += grown('misses');
    this.stale += grown('stale');
    this.fetched += grown('coalesced') + grown('redis_hits');
    this.errors4xx += grown('errors_4xx');
    this.errors5xx += grown('errors_5xx');
    this.within += grown('within_objective');
    this.over += grown('over_objective');
    this.objectiveUs = later.objective_us || 0;
    for (const kind of KINDS)
      if (later[kind]) this.times.addAll(timesBetween(earlier && earlier[kind], later[kind]));
  }

  get rate() { return this.requests / this.seconds; }
  get hitRatio() { return ratio(this.hits, this.hits + this.misses); }
  get overRatio() { return ratio(this.over, this.within + this.over); }
  get sharedRatio() { return ratio(this.hits + this.stale + this.fetched, this.hits + this.stale + this.misses); }
}

// All answers by the names of a route's, as history.def counts them: also those that have no route, and no part of a batch.
function allOf(stats) {
  const m = stats.metrics;
  return {
    requests: m.requests, errors_4xx: m.responses_4xx, errors_5xx: m.responses_5xx,
    hits: m.cache_hits, misses: m.cache_misses, stale: m.cache_stale, coalesced: m.cache_coalesced, redis_hits: m.redis_hits,
    answer: stats.histograms.answer,
  };
}

// The part of a worker's CPU that it used; NaN when it is another process than before.
function cpuOf(earlier, later, seconds) {
  if (!earlier || earlier.pid !== later.pid) return NaN;
  return Math.max(0, (later.cpu_us || 0) - (earlier.cpu_us || 0)) / 1e6 / seconds;
}

function workersBetween(earlier, later, seconds) {
  const before = new Map(earlier.slots.map((slot) => [slot.slot, slot]));
  return later.slots.filter((slot) => slot.slot >= 0 && slot.pid)
    .map((slot) => ({ ...slot, cpu: cpuOf(before.get(slot.slot), slot, seconds) }));
}

const REFUSALS = {
  'too many at once': ['permits_refused', 'cache_refused'],
  'queue full or down': ['pool_rejected', 'replica_rejected', 'upstream_rejected'],
  'memory short': ['memory_refused'],
  'waited too long': ['pool_timeouts', 'replica_timeouts'],
  'asked too often': ['rate_limited'],
};
// Those that history.def has as refused.
const SHED = ['too many at once', 'queue full or down', 'memory short'];

// What came between two answers; null when they are of two lives, or too far apart to tell anything.
function between(earlier, later, longestSeconds) {
  const seconds = (later.at_us - earlier.at_us) / 1e6;
  if (earlier.since_us !== later.since_us || !(seconds > 0) || seconds > longestSeconds) return null;
  const grown = (name) => Math.max(0, (later.metrics[name] || 0) - (earlier.metrics[name] || 0));
  const before = new Map(earlier.routes.map((route) => [route.route, route]));
  const figures = { at: later.at_us / 1000, seconds, all: new RouteFigures(seconds), routes: new Map(), routed: 0, refused: {} };
  figures.all.add(allOf(earlier), allOf(later));
  for (const route of later.routes) {
    const one = new RouteFigures(seconds);
    one.add(before.get(route.route), route);
    figures.routes.set(route.route, one);
    figures.routed += one.requests;
  }
  for (const [cause, names] of Object.entries(REFUSALS))
    figures.refused[cause] = names.reduce((sum, name) => sum + grown(name), 0) / seconds;
  figures.refused.shed = SHED.reduce((sum, cause) => sum + figures.refused[cause], 0);
  figures.workers = workersBetween(earlier, later, seconds);
  figures.levels = levelsOf(later, figures.workers);
  return figures;
}

function levelsOf(stats, workers) {
  const m = stats.metrics;
  const known = workers.map((worker) => worker.cpu).filter((cpu) => !Number.isNaN(cpu));
  return {
    cpu: known.length ? known.reduce((sum, cpu) => sum + cpu, 0) : NaN,
    busiest: known.length ? Math.max(...known) : NaN,
    privateBytes: m.private_bytes,
    cacheBytes: m.cache_used_bytes,
    cacheRatio: ratio(m.cache_used_bytes, m.cache_size_bytes),
    memoryRatio: ratio(m.memory_used_bytes, m.memory_limit_bytes),
    memoryLevel: m.memory_level || 0,
    poolRatio: ratio(m.pool_active, m.pool_max),
    poolActive: m.pool_active,
    poolMax: m.pool_max,
    poolWaiting: (m.pool_waiting || 0) + (m.replica_waiting || 0),
    permitsWaiting: m.permits_waiting || 0,
    flightsWaiting: m.cache_waiting || 0,
    inFlight: m.in_flight || 0,
    connections: m.connections || 0,
  };
}

// Fewer than ten answers lie beyond the quantile: it may be far off.
function isUncertain(times, q) {
  return times.count * (1 - q) < 10;
}
