import { homedir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'

/** What tests fetch or make once and use again: the user's cache folder. */
export const cacheDir = (): string => join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'faafo')
