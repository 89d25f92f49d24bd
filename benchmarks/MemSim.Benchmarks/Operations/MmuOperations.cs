using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using MemSim.Benchmarks.Harness;

namespace MemSim.Benchmarks.Operations;

/// <summary>Translations, reads and copies through the simulated MMU.</summary>
/// <remarks>
/// <c>walk4_*</c>: a CPU without TLB and walk caches, so that every translation walks four levels; each depends on the last. 48 pages: tables and data in the
/// host's L1 cache; 16k: leaf tables of 128 KiB; 4m: of 32 MiB. Copies have the host's <c>Span.CopyTo</c> beside them.
/// </remarks>
internal static unsafe class MmuOperations
{
    private const ulong Window = 0xffff_c901_0000_0000;
    private const ulong Seed = 88172645463325252;
    private const int Large = 1 << 20;

    public static IReadOnlyList<Operation> Table { get; } =
    [
        Translate("tlb_hit_dependent", 48, Dependent, tlb: true),
        Translate("tlb_hit_independent", 48, Independent, tlb: true),
        Translate("tlb_l2_hit", 1024, Dependent, tlb: true),
        Translate("walk4_48", 48, Dependent, tlb: false),
        Translate("walk4_16k", 16 << 10, Dependent, tlb: false),
        Translate("walk4_4m", 4 << 20, Dependent, tlb: false),
        new("Host", "memory_load_32m", _ => MemoryLoad()),
        Read("read8_sequential_1m", Large, random: false),
        Read("read8_random_1m", Large, random: true),
        Copy("copy_4k", 4096),
        Copy("copy_1m", Large),
        new("Host", "copy_4k", _ => HostCopy(4096)),
        new("Host", "copy_1m", _ => HostCopy(Large)),
        new("MemSim", "map_pair_4k", _ => MapPair()),
    ];

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static ulong Dependent(Cpu cpu, uint pages, int turns)
    {
        ulong random = Seed;
        ulong last = 0;
        for (int i = 0; i < turns; i++)
        {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            ulong page = ((random & uint.MaxValue) * pages) >> 32;
            last = cpu.Translate(new VirtualAddress(Window + (page << 12) + (last >> 63))).Value;
        }

        return last;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static ulong Independent(Cpu cpu, uint pages, int turns)
    {
        ulong random = Seed;
        ulong sum = 0;
        for (int i = 0; i < turns; i++)
        {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            ulong page = ((random & uint.MaxValue) * pages) >> 32;
            sum += cpu.Translate(new VirtualAddress(Window + (page << 12))).Value;
        }

        return sum;
    }

    private static Machine Boot(bool tlb) => Machine.Boot(MachineSpec.X86_64("512M").WithMmu(MmuOptions.Default with { Tlb = tlb ? null : TlbGeometry.None }));

    private static Operation Translate(string name, int pages, Func<Cpu, uint, int, ulong> loop, bool tlb) => new("MemSim", name, _ =>
    {
        const int frames = 1024;
        Machine machine = Boot(tlb);
        Cpu cpu = machine.Cpus[0];
        for (int i = 0; i < pages; i += frames)
        {
            VirtualAddress at = new(Window + ((ulong)i << 12));
            if (!machine.Mmu.Kernel.Map(cpu, at, new Pfn(0x4000), Math.Min(frames, pages - i), PageProtection.Kernel))
            {
                throw new InvalidOperationException("no memory for the tables");
            }
        }

        return new Workload(turns => GC.KeepAlive(loop(cpu, (uint)pages, turns) == 0), Release: machine);
    });

    private static Operation Read(string name, int bytes, bool random) => new("MemSim", name, _ =>
    {
        Machine machine = Boot(tlb: true);
        Cpu cpu = machine.Cpus[0];
        VirtualAddress start = machine.Memory.DirectMapStart + (64 << 20);
        return new Workload(turns => GC.KeepAlive((random ? ReadRandom(cpu, start, bytes, turns) : ReadSequential(cpu, start, bytes, turns)) == 1), Release: machine);
    });

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static long ReadSequential(Cpu cpu, VirtualAddress start, int bytes, int turns)
    {
        long sum = 0;
        for (int i = 0; i < turns; i++)
        {
            sum += cpu.Read<long>(start + ((i * 8L) & (bytes - 1)));
        }

        return sum;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static long ReadRandom(Cpu cpu, VirtualAddress start, int bytes, int turns)
    {
        ulong random = Seed;
        long sum = 0;
        for (int i = 0; i < turns; i++)
        {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            sum += cpu.Read<long>(start + (long)(random & (ulong)(bytes - 8)));
        }

        return sum;
    }

    private static Operation Copy(string name, int bytes) => new("MemSim", name, _ =>
    {
        Machine machine = Boot(tlb: true);
        Cpu cpu = machine.Cpus[0];
        VirtualAddress from = machine.Memory.DirectMapStart + (64 << 20);
        VirtualAddress to = machine.Memory.DirectMapStart + (128 << 20);
        cpu.Memory.Fill(from, bytes, 1);
        cpu.Memory.Fill(to, bytes, 2);
        return new Workload(turns => Copies(cpu, to, from, bytes, turns), Release: machine);
    });

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Copies(Cpu cpu, VirtualAddress to, VirtualAddress from, int bytes, int turns)
    {
        for (int i = 0; i < turns; i++)
        {
            cpu.Memory.Copy(to, from, bytes);
        }
    }

    private static Workload HostCopy(int bytes)
    {
        byte* memory = Allocate(2 * bytes);
        return new Workload(turns => HostCopies(memory, bytes, turns), Release: new Native(memory));
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void HostCopies(byte* memory, int bytes, int turns)
    {
        for (int i = 0; i < turns; i++)
        {
            new Span<byte>(memory, bytes).CopyTo(new Span<byte>(memory + bytes, bytes));
        }
    }

    /// <summary>One load from 32 MiB at random, each address dependent on the last value: what a walk whose leaf tables are outside the cache cannot avoid.</summary>
    private static Workload MemoryLoad()
    {
        const int bytes = 32 << 20;
        byte* memory = Allocate(bytes);
        return new Workload(turns => GC.KeepAlive(Chase(memory, bytes / 8, turns) == 1), Release: new Native(memory));
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static ulong Chase(byte* memory, uint words, int turns)
    {
        ulong random = Seed;
        ulong last = 0;
        for (int i = 0; i < turns; i++)
        {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            last = *(ulong*)(memory + ((((random & uint.MaxValue) * words) >> 32 << 3) + last));
        }

        return last;
    }

    private static Workload MapPair()
    {
        Machine machine = Boot(tlb: true);
        Cpu cpu = machine.Cpus[0];
        Page[] page = [cpu.AllocPage(Gfp.Kernel)];
        return new Workload(turns => MapPairs(machine.Mmu.Kernel, cpu, page, turns), Release: machine);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void MapPairs(PageTables kernel, Cpu cpu, Page[] page, int turns)
    {
        VirtualAddress at = new(Window);
        for (int i = 0; i < turns; i++)
        {
            kernel.Map(cpu, at, page, PageProtection.Kernel);
            kernel.Unmap(cpu, at, 1);
        }
    }

    private static byte* Allocate(int bytes)
    {
        // Aligned as the contents of RAM are, and zeroed, so that the host backs it alike.
        byte* memory = (byte*)NativeMemory.AlignedAlloc((nuint)bytes, 2 << 20);
        NativeMemory.Clear(memory, (nuint)bytes);
        return memory;
    }

    private sealed class Native(byte* memory) : IDisposable
    {
        public void Dispose() => NativeMemory.AlignedFree(memory);
    }
}
