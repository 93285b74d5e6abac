//! Payloads by copying (docs/wire.md, `fumehood_bulk`), wasm32 only. Hosts that know nothing of it
//! leave every word at 0, and everything goes through the kernel.

use super::kernel;
use std::cell::UnsafeCell;
use std::mem::take;

/// What the module exports. Word by word; the host reads and writes it while no export runs.
#[repr(C, align(4))]
#[doc(hidden)]
pub struct Descriptor {
    magic: u32,
    host: UnsafeCell<u32>,
    capacity: UnsafeCell<u32>,
    buffer: UnsafeCell<u32>,
    input: UnsafeCell<u32>,
    output: UnsafeCell<u32>,
    output_length: UnsafeCell<u32>,
    reserved: u32,
}

/// The buffers behind the descriptor.
struct Buffers {
    /// Room for the next input; empty while an export owns it.
    input: Vec<u8>,
    /// The last output, which the host copies after the export has returned.
    output: Vec<u8>,
}

struct Kept(UnsafeCell<Buffers>);

// SAFETY: a module instance has one thread, and the host enters it once at a time
unsafe impl Sync for Descriptor {}
// SAFETY: as above
unsafe impl Sync for Kept {}

/// The descriptor; the linker exports its address as a global.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
#[doc(hidden)]
pub static fumehood_bulk: Descriptor = Descriptor {
    magic: u32::from_le_bytes(*b"FHB1"),
    host: UnsafeCell::new(0),
    capacity: UnsafeCell::new(0),
    buffer: UnsafeCell::new(0),
    input: UnsafeCell::new(0),
    output: UnsafeCell::new(0),
    output_length: UnsafeCell::new(0),
    reserved: 0,
};

static KEPT: Kept = Kept(UnsafeCell::new(Buffers { input: Vec::new(), output: Vec::new() }));

const LARGE: usize = 1 << 20;

fn read(word: &UnsafeCell<u32>) -> u32 {
    // SAFETY: valid and aligned; volatile because the host writes it
    unsafe { word.get().read_volatile() }
}

fn write(word: &UnsafeCell<u32>, value: usize) {
    // SAFETY: valid and aligned; volatile because the host reads it
    unsafe { word.get().write_volatile(value as u32) }
}

/// The buffers. No caller lets go of the reference while another function here runs.
fn kept() -> &'static mut Buffers {
    // SAFETY: one thread, and `fumehood_reserve` is called between exports only
    unsafe { &mut *KEPT.0.get() }
}

/// Says where the next input goes: into the room for inputs, else over the last output, which the
/// host has copied by then.
fn offer(buffers: &mut Buffers) {
    let room = if buffers.input.capacity() > 0 { &mut buffers.input } else { &mut buffers.output };
    write(&fumehood_bulk.capacity, room.capacity());
    write(&fumehood_bulk.buffer, if room.capacity() > 0 { room.as_mut_ptr() as usize } else { 0 });
}

/// Makes room for an input of `size` bytes: its address, 0 where there is none. The last output goes.
#[unsafe(no_mangle)]
#[doc(hidden)]
pub extern "C" fn fumehood_reserve(size: u32) -> u32 {
    let buffers = kept();
    let wanted = size as usize;
    if buffers.input.capacity().max(buffers.output.capacity()) < wanted {
        *buffers = Buffers { input: Vec::new(), output: Vec::new() };
        // some more than asked for: conversations grow
        let roomy = if wanted < LARGE { wanted.next_power_of_two() } else { wanted.next_multiple_of(LARGE) };
        if buffers.input.try_reserve_exact(roomy).is_err() {
            let _ = buffers.input.try_reserve_exact(wanted);
        }
    } else if buffers.input.capacity() < wanted {
        buffers.input = take(&mut buffers.output);
    }
    offer(buffers);
    if buffers.input.capacity() < wanted {
        return 0;
    }
    read(&fumehood_bulk.buffer)
}

/// The input of this call, taken out of the buffer where the host put it there.
pub(super) fn input() -> Vec<u8> {
    let length = read(&fumehood_bulk.input) as usize;
    if length == 0 {
        return kernel::input();
    }
    write(&fumehood_bulk.input, 0);
    let buffers = kept();
    let mut taken = take(if buffers.input.capacity() > 0 { &mut buffers.input } else { &mut buffers.output });
    offer(buffers);
    assert!(length <= taken.capacity(), "an input larger than its buffer");
    // SAFETY: the host has written `length` bytes into the buffer, which holds as many
    unsafe { taken.set_len(length) };
    taken
}

/// Takes the buffer of an input back that was only looked at.
pub(super) fn recycle(input: Vec<u8>) {
    let buffers = kept();
    if input.capacity() > buffers.input.capacity() {
        buffers.input = input;
    }
    offer(buffers);
}

/// Sets the output of this call and keeps it until the next one.
pub(super) fn output(bytes: Vec<u8>) {
    if read(&fumehood_bulk.host) == 0 {
        return kernel::output(&bytes);
    }
    let buffers = kept();
    buffers.output = bytes;
    write(&fumehood_bulk.output, buffers.output.as_ptr() as usize);
    write(&fumehood_bulk.output_length, buffers.output.len());
    offer(buffers);
}
