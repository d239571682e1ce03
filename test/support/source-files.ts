import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import ts from 'typescript'

/** A source file of the project and what the house rules ask of it. Paths are relative to the root, with `/`. */
export type SourceFile = {
  path: string
  text: string
  tree: ts.SourceFile
  /** What it imports, dynamically too: a path of the project, or a bare name as written. */
  imports: string[]
}

const FOLDERS = ['events', 'services', 'test', 'deno-compat']
/** Also what is not TypeScript although its name says so (AssemblyScript), and what the build makes. */
const SKIPPED = /(^|\/)(node_modules|golden|dist|assembly|\.[^/]+)\/|\.generated\./

/** Every file of the project's own folders, in any language. */
export function listFiles(root: string): string[] {
  return FOLDERS.flatMap((folder) => {
    const entries = readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => posix(relative(root, join(entry.parentPath, entry.name))))
  }).filter((path) => !SKIPPED.test(path))
}

export function readSources(root: string): SourceFile[] {
  return listFiles(root)
    .filter((path) => /\.[cm]?[jt]sx?$/.test(path))
    .map((path) => parseSource(path, readFileSync(join(root, path), 'utf8')))
}

export function parseSource(path: string, text: string): SourceFile {
  const tree = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
  return { path, text, tree, imports: importsOf(path, nodesOf(tree)) }
}

const importsOf = (path: string, nodes: readonly ts.Node[]): string[] =>
  nodes
    .flatMap((node) => importedBy(node) ?? [])
    .map((name) => (name.startsWith('.') ? posix(join(dirname(path), name)) : name))

/** All that is loaded before a file runs: files of ours and packages, by whatever chain of imports, types apart. */
export function loadedWith(sources: readonly SourceFile[], path: string): string[] {
  const loaded = new Set([path])
  for (const name of loaded) {
    const source = sources.find((one) => one.path === name)
    const statements = source?.tree.statements.filter((statement) => !isOfTypes(statement)) ?? []
    for (const imported of importsOf(name, statements)) loaded.add(imported)
  }
  return [...loaded]
}

const isOfTypes = (statement: ts.Statement): boolean =>
  (ts.isImportDeclaration(statement) && statement.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword) ||
  (ts.isExportDeclaration(statement) && statement.isTypeOnly)

/** All nodes below `node`, itself first. */
export function nodesOf(node: ts.Node): ts.Node[] {
  const below: ts.Node[] = []
  ts.forEachChild(node, (child) => {
    below.push(...nodesOf(child))
  })
  return [node, ...below]
}

function importedBy(node: ts.Node): string | null {
  const specifier = (() => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return node.moduleSpecifier
    if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) return node.argument.literal
    if (!ts.isCallExpression(node)) return undefined
    const { expression } = node
    const imports = expression.kind === ts.SyntaxKind.ImportKeyword || expression.getText() === 'require'
    return imports ? node.arguments[0] : undefined
  })()
  return specifier && ts.isStringLiteralLike(specifier) ? specifier.text : null
}

const posix = (path: string) => path.replaceAll('\\', '/')
