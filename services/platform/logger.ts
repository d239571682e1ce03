import process from 'node:process'
import { type Logger as PinoLogger, pino } from 'pino'
import pretty from 'pino-pretty'

/** Logs are events with bound fields: `log.info({ fractal, ms }, 'render completed')`. */
export type Logger = PinoLogger

/** Writes to stderr: readable on a terminal, else one JSON object a line. */
export function createLogger(
  service: string,
  options: { logLevel?: string; logFormat?: 'pretty' | 'json' | undefined } = {},
): Logger {
  const format = options.logFormat ?? (process.stderr.isTTY ? 'pretty' : 'json')
  const destination =
    format === 'pretty'
      ? pretty({ destination: 2, sync: true, ignore: 'hostname,pid,service', messageFormat: '{service}: {msg}' })
      : pino.destination({ dest: 2, sync: true })
  return pino({ level: options.logLevel ?? 'info', base: { service, pid: process.pid } }, destination)
}
