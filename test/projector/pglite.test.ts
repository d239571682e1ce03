import { test } from 'uvu'
import { withPglite } from '../support/database.ts'
import { projectorContract } from './contract.ts'

projectorContract(withPglite)

test.run()
