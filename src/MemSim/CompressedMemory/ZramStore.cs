using System.Buffers.Binary;
using System.Runtime.InteropServices;
using MemSim.BlockDevices;

namespace MemSim.CompressedMemory;

/// <summary>The pages of a compressed disk: each one word, an object of zsmalloc, or a block of the backing device (<c>drivers/block/zram</c>).</summary>
internal sealed class ZramStore : IBlockStore
{
    private const int ChunkPages = 1024;

    private readonly Machine _machine;
    private readonly PageCompressor _compressor;
    private readonly Zsmalloc _pool;
    private readonly Slot[]?[] _slots;
    private readonly PageBitmap? _backed;
    private readonly BlockDevice? _backing;
    private readonly List<long> _discarded = [];
    private bool _isClosed;

    public ZramStore(Machine machine, string name, long pages, PageCompressor compressor, BlockDevice? backing)
    {
        _machine = machine;
        _compressor = compressor;
        _pool = new Zsmalloc(machine, name);
        _slots = new Slot[]?[(pages + ChunkPages - 1) / ChunkPages];
        _backing = backing;
        _backed = backing is null ? null : new PageBitmap(backing.CapacityPages);
    }

    public bool TakesMemory => true;

    /// <summary>What a page is stored as.</summary>
    private enum Kind : byte
    {
        Nothing,
        Word,
        Object,
        Backed,
    }

    public Zsmalloc Pool => _pool;

    public BlockDevice? Backing => _backing;

    public long StoredPages { get; private set; }

    public long CompressedBytes { get; private set; }

    public long SamePages { get; private set; }

    public long HugePages { get; private set; }

    public long HugePagesEver { get; private set; }

    public long LimitPages { get; set; }

    public long MostPages { get; set; }

    public long FailedReads { get; private set; }

    public long FailedWrites { get; private set; }

    public long SlotsFreed { get; private set; }

    public long BackedPages { get; private set; }

    public long BackedReads { get; private set; }

    public long BackedWrites { get; private set; }

    public Errno Read(Cpu cpu, long page, Span<byte> into)
    {
        DropDiscarded(cpu);
        ref Slot slot = ref SlotOf(page);
        slot.IsIdle = false;
        switch (slot.Kind)
        {
            case Kind.Word:
                MemoryMarshal.Cast<byte, ulong>(into).Fill(slot.Word);
                return Errno.None;
            case Kind.Object:
                return Expand(slot, into) ? Errno.None : Failed(write: false, Errno.EIO);
            case Kind.Backed:
                BackedReads++;
                Errno error = _backing!.ReadBytes(cpu, (long)slot.Word, into);
                return error == Errno.None ? error : Failed(write: false, error);
            default:
                into.Clear();
                return Errno.None;
        }
    }

    public Errno Write(Cpu cpu, long page, ReadOnlySpan<byte> from)
    {
        DropDiscarded(cpu);
        if (IsOneWord(from, out ulong word))
        {
            ref Slot same = ref Emptied(cpu, page);
            (same.Kind, same.Word) = (Kind.Word, word);
            SamePages++;
            StoredPages++;
            return Errno.None;
        }

        Span<byte> buffer = stackalloc byte[PageCompressor.LargestOutput];
        int length = _compressor.Compress(from, buffer);
        ReadOnlySpan<byte> bytes = length >= _pool.SmallestHuge ? from : buffer[..length];
        const Gfp atOnce = Gfp.KswapdReclaim | Gfp.NoWarn | Gfp.HighMem | Gfp.Movable;
        const Gfp patient = Gfp.NoIo | Gfp.HighMem | Gfp.Movable;
        if (_pool.Allocate(cpu, bytes.Length, atOnce, out int handle) != Errno.None && _pool.Allocate(cpu, bytes.Length, patient, out handle) != Errno.None)
        {
            return Failed(write: true, Errno.ENOMEM);
        }

        if (LimitPages != 0 && _pool.Pages > LimitPages)
        {
            _pool.Free(cpu, handle);
            return Failed(write: true, Errno.ENOMEM);
        }

        MostPages = Math.Max(MostPages, _pool.Pages);
        _pool.Write(handle, bytes);
        ref Slot slot = ref Emptied(cpu, page);
        (slot.Kind, slot.Handle, slot.Length) = (Kind.Object, handle, bytes.Length);
        CompressedBytes += bytes.Length;
        StoredPages++;
        if (bytes.Length == PageGeometry.PageSize)
        {
            HugePages++;
            HugePagesEver++;
        }

        return Errno.None;
    }

    /// <summary>Remembers what is to go: giving objects back may ask for memory, and whoever discards holds locks.</summary>
    public void Discard(long page, long count)
    {
        for (long i = page; i < page + count; i++)
        {
            if (_slots[i / ChunkPages] is { } chunk && chunk[i % ChunkPages].Kind != Kind.Nothing)
            {
                _discarded.Add(i);
            }
        }
    }

    /// <summary>Forgets everything.</summary>
    public void Clear(Cpu cpu)
    {
        Discard(0, (long)_slots.Length * ChunkPages);
        DropDiscarded(cpu);
    }

    public void SlotFreed(Cpu cpu, long page)
    {
        DropDiscarded(cpu);
        SlotsFreed++;
        _ = Emptied(cpu, page);
    }

    public void Flush()
    {
    }

    /// <summary>Everything is idle until it is used again (<c>idle</c>).</summary>
    public void MarkIdle()
    {
        foreach (Slot[]? chunk in _slots)
        {
            for (int i = 0; chunk is not null && i < chunk.Length; i++)
            {
                chunk[i].IsIdle = chunk[i].Kind is Kind.Object or Kind.Word;
            }
        }
    }

    /// <summary>Moves objects to the backing device (<c>writeback</c>).</summary>
    /// <returns>ENODEV without one, ENOSPC when it is full, EIO, ENOMEM.</returns>
    public Errno WriteBack(Cpu cpu, bool idle, bool huge)
    {
        if (_backing is null)
        {
            return Errno.ENODEV;
        }

        int pfn = _machine.Pages.Allocate(cpu, Gfp.Kernel, 0);
        if (pfn < 0)
        {
            return Errno.ENOMEM;
        }

        Errno error = Errno.None;
        for (long page = 0; page < (long)_slots.Length * ChunkPages && error == Errno.None; page++)
        {
            if (_slots[page / ChunkPages] is not { } chunk)
            {
                page += ChunkPages - 1;
                continue;
            }

            ref Slot slot = ref chunk[page % ChunkPages];
            if (slot.Kind == Kind.Object && (!idle || slot.IsIdle) && (!huge || slot.Length == PageGeometry.PageSize))
            {
                error = WriteBack(cpu, page, ref slot, pfn);
            }
        }

        _machine.Pages.FreeBlock(cpu, pfn, 0);
        return error;
    }

    /// <summary>Gives back all memory, unless the machine is gone.</summary>
    public void Dispose()
    {
        if (_isClosed || _machine.IsDisposed)
        {
            return;
        }

        Clear(_machine.CpuTable.CallersCpu());
        _isClosed = true;
        _pool.Dispose();
    }

    private void DropDiscarded(Cpu cpu)
    {
        while (_discarded.Count != 0)
        {
            long page = _discarded[^1];
            _discarded.RemoveAt(_discarded.Count - 1);
            _ = Emptied(cpu, page);
        }
    }

    private Errno WriteBack(Cpu cpu, long page, ref Slot slot, int pfn)
    {
        long block = _backed!.Take(0);
        if (block < 0)
        {
            return Errno.ENOSPC;
        }

        bool isWhole = !_machine.Ram.HasContents || Expand(slot, _machine.Ram.Frame(pfn));
        Errno error = isWhole ? _backing!.Write(cpu, block, new ReadOnlySpan<int>(in pfn), waits: true) : Errno.EIO;
        if (error != Errno.None)
        {
            _backed.Give(block, 1);
            return error;
        }

        BackedWrites++;
        _ = Emptied(cpu, page);
        (slot.Kind, slot.Word) = (Kind.Backed, (ulong)block);
        BackedPages++;
        StoredPages++;
        return Errno.None;
    }

    private bool Expand(in Slot slot, Span<byte> into)
    {
        if (slot.Length == PageGeometry.PageSize)
        {
            _pool.Read(slot.Handle, into);
            return true;
        }

        Span<byte> bytes = stackalloc byte[slot.Length];
        _pool.Read(slot.Handle, bytes);
        return !_machine.Ram.HasContents || _compressor.TryDecompress(bytes, into);
    }

    private Errno Failed(bool write, Errno error)
    {
        FailedReads += write ? 0 : 1;
        FailedWrites += write ? 1 : 0;
        return error;
    }

    private ref Slot SlotOf(long page) => ref (_slots[page / ChunkPages] ??= new Slot[ChunkPages])[page % ChunkPages];

    /// <summary>A slot that holds nothing any more.</summary>
    private ref Slot Emptied(Cpu cpu, long page)
    {
        ref Slot slot = ref SlotOf(page);
        switch (slot.Kind)
        {
            case Kind.Word:
                SamePages--;
                break;
            case Kind.Object:
                CompressedBytes -= slot.Length;
                HugePages -= slot.Length == PageGeometry.PageSize ? 1 : 0;
                _pool.Free(cpu, slot.Handle);
                break;
            case Kind.Backed:
                BackedPages--;
                _backed!.Give((long)slot.Word, 1);
                break;
        }

        StoredPages -= slot.Kind == Kind.Nothing ? 0 : 1;
        slot = default;
        return ref slot;
    }

    private static bool IsOneWord(ReadOnlySpan<byte> page, out ulong word)
    {
        word = BinaryPrimitives.ReadUInt64LittleEndian(page);
        return !MemoryMarshal.Cast<byte, ulong>(page).ContainsAnyExcept(word);
    }

    private struct Slot
    {
        public ulong Word;
        public int Handle;
        public int Length;
        public Kind Kind;
        public bool IsIdle;
    }
}
