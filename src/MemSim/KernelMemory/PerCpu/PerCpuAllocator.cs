using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using MemSim.Hardware;
using MemSim.KernelMemory;
using Microsoft.Extensions.Logging;

namespace MemSim;

/// <summary>The per-CPU allocator: variables and objects of which every CPU has its own copy.</summary>
/// <remarks>
/// Kernel: <c>mm/percpu.c</c>. Chunks hold one unit for each CPU, all cut up alike; the first is embedded in the direct map at boot (static, reserved and
/// dynamic part), later ones get their pages when an area is first laid on them. Chunks are kept by their largest free run, so that the smallest fit is tried first.
/// </remarks>
public sealed partial class PerCpuAllocator
{
    /// <summary>The largest object of a per-CPU allocation, in bytes (<c>PCPU_MIN_UNIT_SIZE</c>).</summary>
    public const int MaxBytes = 32 << 10;

    private const int SlotBaseShift = 5;

    // Chunks that failed a request although their slot promised room are set aside when they are this empty of large runs.
    private const int SlotFailThreshold = 3;

    // The first bytes of the static area are the kernel's own (fixed_percpu_data), so that no variable has the null pointer.
    private const int FirstStaticByte = 64;

    private readonly Machine _machine;
    private readonly ILogger _logger;
    private readonly PercpuLayout _layout;
    private readonly Dictionary<string, (PerCpuPointer Pointer, int Bytes)> _variables = new(StringComparer.Ordinal);
    private readonly PerCpuChunk?[] _slots;
    private readonly PerCpuChunk _first;
    private uint _usedSlots;
    private readonly PerCpuChunk? _reserved;
    private readonly int[] _populating;
    private readonly int _freeSlot;
    private readonly int _unitBytes;
    private readonly ulong _firstBytes;
    private readonly ulong _base;
    private readonly ulong _chunksEnd;
    private readonly int _strideShift;
    private readonly ulong[] _unitOffsets;
    private readonly bool _parallel;
    private PerCpuChunk?[] _chunks = new PerCpuChunk?[8];
    private int _chunkCount = 1;
    private int _emptyPages;
    private int _staticEnd = FirstStaticByte;
    private bool _needsBalance;
    // Guards _slots, _chunks and what lies in them, _emptyPages; held while pages are asked for, as pcpu_alloc_mutex is.
    private PaddedLock _lock;

    internal PerCpuAllocator(Machine machine, PercpuLayout layout)
    {
        _machine = machine;
        _logger = machine.Bugs.LoggerFactory.CreateLogger("MemSim.PerCpu");
        _parallel = machine.IsParallel;
        _lock.Watch(machine.Interleaver?.Watch("PerCpuAllocator._lock"));
        int cpus = machine.Cpus.Count;
        _populating = new int[cpus];
        _layout = layout;
        _unitBytes = (int)_layout.UnitBytes;
        _firstBytes = (ulong)_layout.PagesPerCpu << PageGeometry.PageShift;
        _unitOffsets = new ulong[cpus];
        bool embedded = _layout.Units.Count != 0;
        ulong lowest = embedded ? _layout.Units.Min(unit => unit.Value) : 0;
        for (int cpu = 0; cpu < cpus; cpu++)
        {
            _unitOffsets[cpu] = embedded ? _layout.Units[cpu].Value - lowest : (ulong)cpu * (ulong)_unitBytes;
        }

        ulong span = _unitOffsets.Max() + (ulong)_unitBytes;
        _strideShift = BitOperations.Log2(span - 1) + 1;
        _chunksEnd = VmallocEnd(machine.Architecture.Architecture);
        _base = embedded ? machine.Addresses.ToVirtual(new PhysicalAddress(lowest)).Value : _chunksEnd;
        _freeSlot = SlotOfBytes(_unitBytes - 1) + 2;
        _slots = new PerCpuChunk?[_freeSlot + 1];
        int boundary = _layout.StaticBytes + _layout.ReservedBytes;
        _first = MakeFirst(number: 0, _layout.PagesPerCpu, boundary);
        _chunks[0] = _first;
        int reservedPages = (boundary + PageGeometry.PageSize - 1) >> PageGeometry.PageShift;
        _reserved = _layout.ReservedBytes == 0 ? null : MakeFirst(number: -1, reservedPages, _layout.StaticBytes, boundary);
        _emptyPages = _first.EmptyPopulatedPages;
        Link(_first, SlotOf(_first), front: true);
    }

    /// <summary>Bytes from one CPU's unit to the next one's: <c>u</c> in dmesg's <c>percpu: Embedded …</c>.</summary>
    public int UnitBytes => _unitBytes;

    /// <summary>Bytes of a CPU's area for static variables: <c>s</c> in dmesg.</summary>
    public int StaticBytes => _layout.StaticBytes;

    /// <summary>Bytes of a CPU's area for static variables of modules: <c>r</c> in dmesg.</summary>
    public int ReservedBytes => _layout.ReservedBytes;

    /// <summary>Bytes of a CPU's first area for dynamic allocations: <c>d</c> in dmesg.</summary>
    public int DynamicBytes => _layout.DynamicBytes;

    /// <summary>Whether the first chunk was embedded in the direct map at boot; not so on a machine restored from a recorded state.</summary>
    public bool IsEmbedded => _layout.Units.Count != 0;

    /// <summary>Chunks that exist, the first included.</summary>
    public int ChunkCount => _chunkCount;

    /// <summary>Pages that hold per-CPU memory, all CPUs together: <c>Percpu</c> of <c>/proc/meminfo</c>, in pages.</summary>
    public long PopulatedPages => _chunks.Sum(chunk => (long)(chunk?.PopulatedPages ?? 0)) * _machine.Cpus.Count;

    /// <summary>Pages taken from the page allocator, all CPUs together: those of later chunks.</summary>
    public long AllocatedPages => PopulatedPages - (IsEmbedded ? (long)_layout.PagesPerCpu * _machine.Cpus.Count : 0);

    /// <summary>Bytes that dynamic allocations hold in each CPU's units.</summary>
    public long UsedBytes { get; private set; }

    /// <summary>Whether it holds anything.</summary>
    internal bool IsUsed => LiveAllocations != 0 || _variables.Count != 0 || _chunkCount > 1;

    /// <summary>Dynamic allocations that are live.</summary>
    public long LiveAllocations { get; private set; }

    /// <summary>The names of the static variables, in no particular order.</summary>
    public IReadOnlyCollection<string> VariableNames => _variables.Keys;

    /// <summary>Defines a static per-CPU variable (<c>DEFINE_PER_CPU</c>): each CPU's copy starts as <paramref name="initial"/>.</summary>
    /// <typeparam name="T">Its type, at most a page large.</typeparam>
    /// <param name="name">Its name, unique on the machine.</param>
    /// <param name="initial">What every copy holds at first; a machine without contents cannot hold anything but the default.</param>
    /// <exception cref="ArgumentException">The name is empty or taken.</exception>
    /// <exception cref="InvalidOperationException">The static area is full.</exception>
    public PerCpuVar<T> Define<T>(string name, T initial = default)
        where T : unmanaged
    {
        CheckName(name);
        int align = AlignOf<T>();
        int start = (_staticEnd + align - 1) & -align;
        if (start + Unsafe.SizeOf<T>() > StaticBytes)
        {
            throw new InvalidOperationException($"per-CPU variable '{name}': {Unsafe.SizeOf<T>()} bytes do not fit into the static area of {StaticBytes} bytes");
        }

        if (!IsEmbedded && !PopulateRange(_machine.Cpus[0], _first, start >> PageGeometry.PageShift, (start + Unsafe.SizeOf<T>() - 1) >> PageGeometry.PageShift, Gfp.Kernel))
        {
            throw new InvalidOperationException($"per-CPU variable '{name}': no memory for the static area");
        }

        _staticEnd = start + Unsafe.SizeOf<T>();
        return Register(name, new PerCpuPointer((ulong)start), initial);
    }

    /// <summary>Defines a static per-CPU variable of a module: it lies in the area reserved for modules, or in dynamic memory on kernels without one.</summary>
    /// <typeparam name="T">Its type, at most a page large.</typeparam>
    /// <param name="name">Its name, unique on the machine.</param>
    /// <param name="initial">What every copy holds at first.</param>
    /// <exception cref="ArgumentException">The name is empty or taken.</exception>
    /// <exception cref="InvalidOperationException">The area is full: the module cannot be loaded.</exception>
    public PerCpuVar<T> DefineInModule<T>(string name, T initial = default)
        where T : unmanaged
    {
        CheckName(name);
        int bits = BitsOf(Unsafe.SizeOf<T>());
        int at = _reserved?.Find(bits, BitsOf(AlignOf<T>()), populatedOnly: true) ?? -1;
        if (at >= 0)
        {
            _reserved!.Take(at, bits);
            return Register(name, new PerCpuPointer((ulong)at << PerCpuChunk.BitShift), initial);
        }

        PerCpuPointer pointer = _reserved is null ? Alloc(Unsafe.SizeOf<T>(), AlignOf<T>()) : default;
        return !pointer.IsNull
            ? Register(name, pointer, initial)
            : throw new InvalidOperationException($"{name}: Could not allocate {Unsafe.SizeOf<T>()} bytes percpu data: the {ReservedBytes} bytes reserved for modules are full");
    }

    /// <summary>The static variable with a name.</summary>
    /// <typeparam name="T">The type it was defined with.</typeparam>
    /// <param name="name">Its name.</param>
    /// <exception cref="KeyNotFoundException">There is none.</exception>
    public PerCpuVar<T> Get<T>(string name)
        where T : unmanaged
    {
        ArgumentNullException.ThrowIfNull(name);
        if (!_variables.TryGetValue(name, out (PerCpuPointer Pointer, int Bytes) variable))
        {
            throw new ArgumentException($"there is no per-CPU variable '{name}'", nameof(name));
        }

        return Unsafe.SizeOf<T>() <= variable.Bytes
            ? new PerCpuVar<T>(this, variable.Pointer)
            : throw new ArgumentException($"per-CPU variable '{name}' has {variable.Bytes} bytes, {typeof(T).Name} has {Unsafe.SizeOf<T>()}", nameof(name));
    }

    /// <summary>Allocates an object for every CPU, acting on CPU 0 (<c>__alloc_percpu()</c>); every copy is zeroed.</summary>
    /// <param name="size">Bytes of a copy, 1 to <see cref="MaxBytes"/>.</param>
    /// <param name="align">Its alignment, a power of two up to a page.</param>
    /// <param name="gfp">What the allocation may do; unless it may do all that <see cref="Gfp.Kernel"/> may, it finds room only where memory is already.</param>
    /// <returns>The pointer, or the null pointer.</returns>
    public PerCpuPointer Alloc(long size, long align = 8, Gfp gfp = Gfp.Kernel) => Alloc(_machine.Cpus[0], size, align, gfp);

    /// <summary>Allocates a variable for every CPU, acting on CPU 0 (<c>alloc_percpu()</c>); every copy is zeroed.</summary>
    /// <typeparam name="T">Its type, at most a page large.</typeparam>
    /// <param name="gfp">As for <see cref="Alloc(long, long, Gfp)"/>.</param>
    /// <returns>The variable, or a null handle.</returns>
    public PerCpuVar<T> AllocPercpu<T>(Gfp gfp = Gfp.Kernel)
        where T : unmanaged => AllocPercpu<T>(_machine.Cpus[0], gfp);

    /// <summary>Frees an object (<c>free_percpu()</c>).</summary>
    /// <param name="pointer">The pointer as allocated; the null pointer is ignored.</param>
    /// <exception cref="KernelBugException">No live allocation starts there.</exception>
    public void Free(PerCpuPointer pointer) => Free(_machine.Cpus[0], pointer);

    /// <summary>Frees a variable (<c>free_percpu()</c>).</summary>
    /// <typeparam name="T">Its type.</typeparam>
    /// <param name="variable">The variable as allocated; a null handle is ignored.</param>
    /// <exception cref="KernelBugException">It is not live, or another machine's.</exception>
    public void Free<T>(PerCpuVar<T> variable)
        where T : unmanaged => _machine.Cpus[0].PerCpu.FreePercpu(variable);

    /// <summary>Where a CPU's copy lies (<c>per_cpu_ptr()</c>): in the direct map for the first chunk, in vmalloc space for later ones.</summary>
    /// <param name="pointer">The per-CPU pointer.</param>
    /// <param name="cpu">The CPU's number.</param>
    /// <exception cref="ArgumentOutOfRangeException">The machine has no such CPU.</exception>
    public VirtualAddress AddressOf(PerCpuPointer pointer, int cpu)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)cpu, (uint)_unitOffsets.Length, nameof(cpu));
        return new VirtualAddress(_base + pointer.Value + _unitOffsets[cpu]);
    }

    /// <summary>Where a CPU's copy lies in RAM (<c>per_cpu_ptr_to_phys()</c>).</summary>
    /// <param name="pointer">The per-CPU pointer.</param>
    /// <param name="cpu">The CPU's number.</param>
    /// <exception cref="ArgumentException">The pointer leads to no per-CPU memory.</exception>
    public PhysicalAddress PhysicalAddressOf(PerCpuPointer pointer, int cpu)
    {
        int frame = FrameOf(pointer, cpu, out int offset);
        return new Pfn(frame).PhysicalAddress + (ulong)offset;
    }

    /// <summary>The bytes of a CPU's copy, up to the end of its page.</summary>
    /// <param name="pointer">The per-CPU pointer.</param>
    /// <param name="cpu">The CPU's number.</param>
    /// <param name="length">Bytes wanted; fewer are returned where the page ends.</param>
    /// <exception cref="InvalidOperationException">The machine has no contents of RAM.</exception>
    public Span<byte> Bytes(PerCpuPointer pointer, int cpu, int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        int frame = FrameOf(pointer, cpu, out int offset);
        return _machine.Ram.Lend(((ulong)frame << PageGeometry.PageShift) + (ulong)offset, Math.Min(length, PageGeometry.PageSize - offset));
    }

    internal ref T RefTo<T>(PerCpuPointer pointer, int cpu)
        where T : unmanaged
    {
        int frame = FrameOf(pointer, cpu, out int offset);
        if (!IsLive(pointer))
        {
            throw new KernelBugException(KernelBugKind.NotAllocated, $"BUG: use-after-free of per-CPU variable {pointer}", $"per_cpu({pointer}, {cpu}): it was freed, or never allocated.\n");
        }

        return ref MemoryMarshal.AsRef<T>(_machine.Ram.Lend(((ulong)frame << PageGeometry.PageShift) + (ulong)offset, PageGeometry.PageSize - offset));
    }

    internal PerCpuVar<T> AllocPercpu<T>(Cpu cpu, Gfp gfp)
        where T : unmanaged
    {
        PerCpuPointer pointer = Alloc(cpu, Unsafe.SizeOf<T>(), AlignOf<T>(), gfp);
        return pointer.IsNull ? default : new PerCpuVar<T>(this, pointer);
    }

    /// <summary>Where the kernel starts to look for room for chunks, downwards: the end of vmalloc space.</summary>
    private static ulong VmallocEnd(Architecture architecture) => architecture switch
    {
        Architecture.X86_64 => 0xffff_e900_0000_0000,
        Architecture.Arm64 => KernelAddressSpace.ArmVmallocEnd,
        _ => 0xff40_0000,
    };

    /// <summary>Aligned to the power of two at or above its size: so no copy crosses a page, and whole cache lines are its own when it is as large as one.</summary>
    private static int AlignOf<T>()
        where T : unmanaged
    {
        int size = Unsafe.SizeOf<T>();
        return size <= PageGeometry.PageSize
            ? (int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(size, PerCpuChunk.MinBytes))
            : throw new ArgumentException($"{typeof(T).Name} has {size} bytes: a per-CPU variable lies in one page; use Alloc and Bytes");
    }

    private static int BitsOf(long bytes) => (int)((bytes + PerCpuChunk.MinBytes - 1) >> PerCpuChunk.BitShift);

    private PerCpuVar<T> Register<T>(string name, PerCpuPointer pointer, T initial)
        where T : unmanaged
    {
        _variables.Add(name, (pointer, Unsafe.SizeOf<T>()));
        PerCpuVar<T> variable = new(this, pointer);
        for (int cpu = 0; _machine.Ram.HasContents && cpu < _unitOffsets.Length; cpu++)
        {
            variable[cpu] = initial;
        }

        return variable;
    }

    private void CheckName(string name)
    {
        _machine.ThrowIfDisposed();
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        if (_variables.ContainsKey(name))
        {
            throw new ArgumentException($"there is a per-CPU variable '{name}' already", nameof(name));
        }
    }

    /// <summary>Makes a view of the first area in which only what lies between a start and an end can be allocated.</summary>
    private PerCpuChunk MakeFirst(int number, int pages, int start, int end = 0)
    {
        PerCpuChunk chunk = new(number, pages << PageGeometry.PageShift, _unitOffsets.Length);
        for (int page = 0; page < pages && IsEmbedded; page++)
        {
            for (int cpu = 0; cpu < _unitOffsets.Length; cpu++)
            {
                _populating[cpu] = (int)_layout.Units[cpu].Pfn.Value + page;
            }

            chunk.Populate(page, _populating);
        }

        chunk.Take(0, BitsOf(start));
        if (end != 0 && BitsOf(end) < chunk.Bits)
        {
            chunk.Take(BitsOf(end), chunk.Bits - BitsOf(end));
        }

        return chunk;
    }

    private int FrameOf(PerCpuPointer pointer, int cpu, out int offset)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)cpu, (uint)_unitOffsets.Length, nameof(cpu));
        offset = (int)(pointer.Value & (PageGeometry.PageSize - 1));
        PerCpuChunk? chunk = ChunkOf(pointer, out int inUnit);
        int frame = chunk is null || inUnit >> PageGeometry.PageShift >= chunk.UnitPages ? -1 : chunk.Frame(cpu, inUnit >> PageGeometry.PageShift);
        return frame >= 0 ? frame : throw new ArgumentException($"{pointer} leads to no per-CPU memory of this machine", nameof(pointer));
    }

    /// <summary>The chunk a pointer leads to, and the byte in its units.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool IsLive(PerCpuPointer pointer) => ChunkOf(pointer, out int inUnit) is { } chunk && chunk.IsUsed(inUnit >> PerCpuChunk.BitShift);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private PerCpuChunk? ChunkOf(PerCpuPointer pointer, out int inUnit)
    {
        if (pointer.Value < _firstBytes)
        {
            inUnit = (int)pointer.Value;
            return _first;
        }

        ulong below = _chunksEnd - 1 - (_base + pointer.Value);
        ulong number = (below >> _strideShift) + 1;
        ulong within = ~below & ((1UL << _strideShift) - 1);
        inUnit = (int)Math.Min(within, int.MaxValue);
        return number < (ulong)_chunks.Length ? _chunks[number] : null;
    }

    /// <summary>Adds the frames that back per-CPU memory.</summary>
    internal void AddFrames(ISet<int> frames)
    {
        foreach (PerCpuChunk? chunk in _chunks)
        {
            for (int page = 0; page < (chunk?.UnitPages ?? 0); page++)
            {
                for (int cpu = 0; chunk!.IsPopulated(page) && cpu < _machine.Cpus.Count; cpu++)
                {
                    frames.Add(chunk.Frame(cpu, page));
                }
            }
        }
    }

    private PerCpuPointer PointerTo(PerCpuChunk chunk, int bit)
    {
        ulong start = chunk.Number == 0 ? 0 : _chunksEnd - ((ulong)chunk.Number << _strideShift) - _base;
        return new PerCpuPointer(start + ((ulong)bit << PerCpuChunk.BitShift));
    }
}
