// The points that the charts draw, in order of time: what this page has polled, and before it, or where it did not look,
// what perfd remembers (/history), which has no routes.

const KEPT_SECONDS = 3600;
const JOINT_MS = 2500; // a longer time without a point is a gap

class Timeline {
  constructor() {
    this.points = [];
  }

  // figures: of between().
  add(figures) {
    this.points.push({
      at: figures.at,
      spanMs: figures.seconds * 1000,
      all: seriesOf(figures.all),
      routes: new Map([...figures.routes].filter(([, route]) => route.requests > 0).map(([name, route]) => [name, seriesOf(route)])),
      refused: figures.refused,
      levels: figures.levels,
    });
    this.forget(figures.at);
  }

  forget(now) {
    let old = 0;
    while (old < this.points.length && this.points[old].at < now - KEPT_SECONDS * 1000) old++;
    this.points.splice(0, old);
  }

  turnBack(now) {
    this.points = this.points.filter((point) => point.at < now);
  }

  get last() {
    return this.points[this.points.length - 1];
  }

  // What lies behind the latest point, the minutes only where there are no seconds.
  fill(document) {
    const points = document.seconds.map(pointOf);
    const first = points.length ? points[0].at - points[0].spanMs : Infinity;
    const minutes = document.minutes.map(pointOf).filter((point) => point.at <= first + 500);
    const after = this.last ? this.last.at + 500 : -Infinity;
    this.points.push(...[...minutes, ...points].filter((point) => point.at - point.spanMs >= after - 1000 && point.at > after));
  }

  // Those of the last ms, with a null where a line must break.
  since(begin) {
    const list = [];
    let before = null;
    for (const point of this.points) {
      if (point.at < begin) continue;
      if (before && point.at - point.spanMs - before.at > JOINT_MS) list.push({ at: before.at + 500, gap: true });
      list.push(point);
      before = point;
    }
    return list;
  }
}

function seriesOf(route) {
  return {
    requests: route.requests,
    rate: route.rate,
    errors4xx: route.errors4xx / route.seconds,
    errors5xx: route.errors5xx / route.seconds,
    hitRatio: route.hitRatio,
    sharedRatio: route.sharedRatio,
    p50: route.times.quantile(0.5),
    p95: route.times.quantile(0.95),
    p99: route.times.quantile(0.99),
    heat: route.times.count ? route.times.heat() : null,
  };
}

// A point of /history.
function pointOf(point) {
  const seconds = point.span_us / 1e6;
  const us = (value) => value === null ? NaN : value;
  return {
    at: point.at_us / 1000,
    spanMs: point.span_us / 1000,
    remembered: true,
    all: {
      requests: point.requests,
      rate: point.requests / seconds,
      errors4xx: point.errors_4xx / seconds,
      errors5xx: point.errors_5xx / seconds,
      hitRatio: ratio(point.hits, point.hits + point.misses),
      sharedRatio: NaN,
      p50: us(point.p50_us),
      p95: us(point.p95_us),
      p99: us(point.p99_us),
      heat: null,
    },
    routes: new Map(),
    refused: { shed: point.refused / seconds, 'asked too often': point.limited / seconds },
    levels: {
      cpu: point.cpu_us / 1e6 / seconds,
      busiest: NaN,
      privateBytes: point.private_bytes,
      cacheBytes: point.cache_used_bytes,
      poolRatio: ratio(point.pool_active, point.pool_max),
      poolWaiting: point.pool_waiting,
      inFlight: point.in_flight,
      connections: point.connections,
    },
  };
}
