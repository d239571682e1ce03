import type { Command } from 'commander'
import type { Surroundings } from './session.ts'
export function addReplay(_program: Command, _surroundings: Surroundings): void {}
