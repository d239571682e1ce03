import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

export type Metrics = ReturnType<typeof createMetrics>

/** A registry of its own. `ofProcess` adds memory, CPU and event loop of this process. */
export function createMetrics({ ofProcess }: { ofProcess: boolean }) {
  const registry = new Registry()
  const registers = [registry]
  if (ofProcess) collectDefaultMetrics({ register: registry })
  const gauge = (name: string, help: string) => new Gauge({ name, help, registers })
  return {
    registry,
    requests: new Histogram({
      name: 'faafo_http_request_duration_seconds',
      help: 'time from a request to its answer, by route, method and status',
      labelNames: ['route', 'method', 'status'],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5],
      registers,
    }),
    appended: new Counter({
      name: 'faafo_events_appended_total',
      help: 'events that this api put into the log, by type',
      labelNames: ['type'],
      registers,
    }),
    queueDepth: gauge('faafo_queue_depth', 'requests with no outcome yet'),
    workers: gauge('faafo_workers', 'workers heard of lately'),
    lagEvents: gauge('faafo_projection_lag_events', 'events that are not in the tables yet'),
    lagSeconds: gauge('faafo_projection_lag_seconds', 'age of the oldest event that is not in the tables yet'),
    streams: gauge('faafo_event_streams', 'clients that follow events over server-sent events'),
    parked: gauge('faafo_parked_events', 'events that could not be handled and hold their fractals back'),
  }
}
