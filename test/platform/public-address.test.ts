import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isPublicAddress, isTarget, takesIn } from '../../services/platform/public-address.ts'

test('addresses of the internet are public', () => {
  for (const address of [
    '1.1.1.1',
    '93.184.216.34',
    '172.15.255.255',
    '172.32.0.1',
    '2606:4700::1111',
    '2a00:1450::1',
  ]) {
    assert.ok(isPublicAddress(address), address)
  }
})

test('addresses of a network of its own, of this machine or for special purposes are not', () => {
  const four = ['0.0.0.0', '10.0.0.1', '100.64.0.1', '127.0.0.1', '127.255.255.254', '169.254.169.254', '172.16.0.1']
  const more = ['172.31.255.255', '192.0.0.8', '192.0.2.1', '192.168.1.1', '198.18.0.1', '224.0.0.1', '255.255.255.255']
  const six = [
    '::',
    '::1',
    'fe80::1',
    'fe80::1%eth0',
    'fc00::1',
    'fd12:3456::1',
    'ff02::1',
    '2001:db8::1',
    '2002:7f00:1::',
  ]
  const leading = ['::ffff:127.0.0.1', '::ffff:7f00:1', '::ffff:10.0.0.1', '::127.0.0.1', '64:ff9b::7f00:1', '2001::1']
  for (const address of [...four, ...more, ...six, ...leading]) assert.not(isPublicAddress(address), address)
})

test('a public address of version 4 written as one of version 6 is public', () => {
  assert.ok(isPublicAddress('::ffff:1.1.1.1'))
})

test('what is no address is not public', () => {
  for (const text of ['', 'localhost', '1.1.1', '2130706433', '0177.0.0.1', '1.1.1.1.'])
    assert.not(isPublicAddress(text), text)
})

test('a network takes in its addresses, however they are written', () => {
  assert.ok(takesIn('10.1.0.0/16', '10.1.255.255'))
  assert.ok(takesIn('10.1.0.0/16', '::ffff:10.1.2.3'))
  assert.not(takesIn('10.1.0.0/16', '10.2.0.0'))
  assert.ok(takesIn('127.0.0.1', '127.0.0.1'))
  assert.not(takesIn('127.0.0.1', '127.0.0.2'))
  assert.ok(takesIn('fd00::/8', 'fdff::1'))
  assert.ok(takesIn('0.0.0.0/0', '8.8.8.8'))
  assert.not(takesIn('0.0.0.0/0', '::1'))
  assert.not(takesIn('hooks.internal', '10.1.2.3'))
})

test('targets are names, addresses and networks', () => {
  for (const text of ['localhost', 'hooks.internal', '10.0.0.1', '10.0.0.0/8', '::1', 'fd00::/8', 'my_host'])
    assert.ok(isTarget(text), text)
  for (const text of ['', 'http://a', 'a b', '10.0.0.0/33', '::/129', 'a/8', '10.0.0.0/8/8', '-a'])
    assert.not(isTarget(text), text)
})

test.run()
