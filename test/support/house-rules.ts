import { basename } from 'node:path'
import ts from 'typescript'
import { nodesOf, type SourceFile } from './source-files.ts'

/** A rule gives the breaches that it finds in one file, each a sentence; none is fine. */
export type HouseRule = (source: SourceFile) => string[]

const LIBRARIES = ['events', 'kernel', 'storage', 'platform']
const SERVICES = ['api', 'web', 'worker', 'projector', 'operator', 'subscribers']
const OPERATING = ['cli', 'replay', 'up']

/** What each part may import, besides itself. */
const MAY_IMPORT: Record<string, string[]> = {
  events: [],
  kernel: ['events'],
  platform: ['events'],
  storage: ['events', 'platform'],
  web: LIBRARIES,
  api: [...LIBRARIES, 'web'],
  worker: LIBRARIES,
  projector: LIBRARIES,
  operator: LIBRARIES,
  subscribers: LIBRARIES,
  cli: [...LIBRARIES, ...SERVICES, ...OPERATING],
  replay: [...LIBRARIES, ...SERVICES, ...OPERATING],
  up: [...LIBRARIES, ...SERVICES, ...OPERATING],
}

/** `events`, or the folder below services/; null for the tests. */
function partOf(path: string): string | null {
  const [top = '', folder = ''] = path.split('/')
  if (top === 'events') return 'events'
  return top === 'services' ? folder : null
}

const isTest = (path: string) => path.startsWith('test/') && path.endsWith('.test.ts')
const isOurs = (name: string) => /^(events|services|test|deno-compat)\//.test(name)

export const importsFlowOneWay: HouseRule = ({ path, imports }) => {
  const part = partOf(path)
  if (part === null) return []
  const allowed = MAY_IMPORT[part]
  if (!allowed) return [`services/${part} is not in the table of what may import what`]
  return imports.filter(isOurs).flatMap((name) => {
    const imported = partOf(name)
    if (imported === null) return [`it imports ${name}, which is not part of the product`]
    return imported === part || allowed.includes(imported) ? [] : [`${part} must not import ${name}`]
  })
}

export const onlyAdaptersImportNats: HouseRule = ({ path, imports }) => {
  const part = partOf(path)
  if (part === null || part === 'platform' || part === 'storage') return []
  return imports.filter((name) => /^(nats(\/|$)|@nats-io\/)/.test(name)).map((name) => `it imports ${name}`)
}

export const onlyMainReadsTheEnvironment: HouseRule = ({ path, tree }) => {
  const part = partOf(path)
  const file = basename(path)
  if (part === null || part === 'cli' || file === 'main.ts' || file.endsWith('-main.ts')) return []
  return nodesOf(tree)
    .filter(
      (node) =>
        (ts.isPropertyAccessExpression(node) && /^((globalThis\.)?process|Deno)\.env$/.test(node.getText())) ||
        (ts.isImportSpecifier(node) &&
          (node.propertyName ?? node.name).text === 'env' &&
          /process'$/.test(node.parent.parent.parent.moduleSpecifier.getText())),
    )
    .map((node) => `it reads the environment: ${node.getText()}`)
}

export const noBarrels: HouseRule = ({ path, tree }) => {
  const onlyPassesOn =
    tree.statements.length > 0 && tree.statements.every((s) => ts.isExportDeclaration(s) && s.moduleSpecifier)
  if (onlyPassesOn) return ['it only re-exports: import the file itself']
  return /^index\./.test(basename(path)) ? ['an index file names nothing'] : []
}

/** uvu runs nothing in a file without `.run()`, and forgets suites that are run late. */
export const testsAreRun: HouseRule = ({ path, tree }) => {
  if (!isTest(path)) return []
  const last = tree.statements.at(-1)
  return last && /^[a-z]\w*\.run\(\)$/i.test(last.getText()) ? [] : ['its last statement must be test.run()']
}

/** Hooks that throw are forgotten by uvu; `only` and `skip` leave tests out. */
export const noHooksAndNothingLeftOut: HouseRule = ({ tree, imports }) => {
  if (!imports.includes('uvu')) return []
  const suites = new Set(['test'])
  for (const node of nodesOf(tree)) {
    if (ts.isVariableDeclaration(node) && /^suite\b/.test(node.initializer?.getText() ?? ''))
      suites.add(node.name.getText())
  }
  return nodesOf(tree)
    .filter(ts.isPropertyAccessExpression)
    .filter(({ expression, name }) => suites.has(expression.getText()) && /^(only|skip|before|after)$/.test(name.text))
    .map((node) => `it uses ${node.getText()}`)
}

// spelt apart, so that this file keeps its own rule
const UNFINISHED = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX'].join('|')})\\b`)

export const nothingIsLeftForLater: HouseRule = ({ text }) =>
  text
    .split('\n')
    .flatMap((line, i) => (UNFINISHED.test(line) ? [`line ${i + 1} leaves something for later: ${line.trim()}`] : []))
