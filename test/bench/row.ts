/** One measured figure beside the reference that was measured in the same run. */
export type Row = {
  name: string
  value: number
  unit: string
  /** What the value is held against, in the same unit. */
  reference: { name: string; value: number }
}

export type Suite = { name: string; run(): Promise<Row[]> }

export const ratioOf = (row: Row): number => row.value / row.reference.value

/** The value below which a share `p` (0 … 1) of the sorted samples lies. */
export function percentile(samples: readonly number[], p: number): number {
  const sorted = [...samples].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? Number.NaN
}

export const median = (samples: readonly number[]): number => percentile(samples, 0.5)
