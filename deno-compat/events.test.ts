/* The tests of events/, as they are, on Deno. */
import '../test/events/attempts.test.ts'
import '../test/events/codec.test.ts'
import '../test/events/cursor.test.ts'
import '../test/events/fractal.test.ts'
import '../test/events/golden.test.ts'
import '../test/events/subjects.test.ts'
import '../test/events/task.test.ts'
