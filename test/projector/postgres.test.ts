import { test } from 'uvu'
import { withPostgres } from '../support/database.ts'
import { projectorContract } from './contract.ts'

projectorContract(withPostgres)

test.run()
