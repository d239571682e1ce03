/* The tests of the tools for programs, as they are, on Deno. */
import '../test/replay/park.test.ts'
import '../test/replay/place.test.ts'
import '../test/replay/replay.test.ts'
