import { test } from 'uvu'
import { withOwnPostgres } from '../support/database.ts'
import { projectorContract } from './contract.ts'

projectorContract(withOwnPostgres)

test.run()
