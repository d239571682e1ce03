/* The tests of the kernel, its golden pictures among them, as they are, on Deno. */
import '../test/kernel/constant.test.ts'
import '../test/kernel/description.test.ts'
import '../test/kernel/estimate.test.ts'
import '../test/kernel/julia.test.ts'
import '../test/kernel/png.test.ts'
import '../test/kernel/render.test.ts'
import '../test/kernel/simd-drawing.test.ts'
