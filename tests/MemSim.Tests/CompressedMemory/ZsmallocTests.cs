using FluentAssertions;
using MemSim.CompressedMemory;
using Xunit;

namespace MemSim.Tests.CompressedMemory;

/// <summary>zsmalloc and zbud: geometry, contents, frames of the page allocator, compaction.</summary>
public sealed class ZsmallocTests
{
    private const Gfp PoolGfp = Gfp.NoRetry | Gfp.NoWarn | Gfp.KswapdReclaim | Gfp.HighMem | Gfp.Movable;

    [Theory]
    [InlineData("6.1", 73 + 8, 96, 3)] // the swap header on zram: three frames at once
    [InlineData("7.3", 65 + 8, 80, 5)] // five
    [InlineData("6.1", 2082 + 8, 2336, 4)] // 7 in four
    [InlineData("7.3", 2082 + 8, 2176, 8)] // 15 in eight
    [InlineData("7.3", 2212 + 8, 2224, 6)] // 11 in six
    [InlineData("7.3", 4096 + 8, 4096, 1)]
    public void Classes_are_those_of_the_kernel(string kernel, int bytes, int size, int pages)
    {
        SizeClass[] classes = SizeClass.Make(KernelPersonalityOf(kernel).CompressedMemory.ZspagesChain, out int smallestHuge);

        SizeClass found = classes[Math.Min((Math.Max(bytes - SizeClass.Smallest, 0) + SizeClass.Step - 1) / SizeClass.Step, classes.Length - 1)];
        (found.Size, found.PagesPerZspage).Should().Be((size, pages));
        smallestHuge.Should().Be(kernel == "6.1" ? 3257 : 3625);
    }

    [Theory]
    [InlineData("6.1")]
    [InlineData("7.3")]
    public void Objects_of_all_sizes_keep_their_bytes_and_their_frames_go_back(string kernel)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithKernel(kernel));
        machine.Reclaim.Enable();
        Zsmalloc pool = new(machine, "test");
        Cpu cpu = machine.Cpus[0];
        long free = FreePages(machine);
        Random random = new(5);
        Dictionary<int, byte[]> held = [];
        for (int step = 0; step < 20_000; step++)
        {
            if (held.Count < 600 && random.Next(5) < 3)
            {
                byte[] bytes = new byte[1 + random.Next(PageGeometry.PageSize)];
                random.NextBytes(bytes);
                pool.Allocate(cpu, bytes.Length, PoolGfp, out int handle).Should().Be(Errno.None);
                pool.Write(handle, bytes);
                held.Add(handle, bytes);
            }
            else if (held.Count != 0)
            {
                int handle = held.Keys.ElementAt(random.Next(held.Count));
                Check(pool, handle, held[handle]);
                pool.Free(cpu, handle);
                held.Remove(handle);
            }

            if (step % 1000 == 0)
            {
                pool.Compact(cpu);
                machine.Verify();
                held.Should().OnlyContain(pair => IsHeld(pool, pair.Key, pair.Value));
                ZsPages(machine).Should().Be(pool.Pages);
            }
        }

        foreach (int handle in held.Keys)
        {
            pool.Free(cpu, handle);
        }

        pool.Pages.Should().Be(0);
        machine.Verify();
        FreePages(machine).Should().BeCloseTo(free, 32, "but for slabs of handles");
        pool.Dispose();
        machine.Verify();
    }

    [Fact]
    public void Compaction_frees_what_sparse_blocks_waste()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithKernel("7.3"));
        Zsmalloc pool = new(machine, "test");
        Cpu cpu = machine.Cpus[0];
        List<int> handles = [];
        for (int i = 0; i < 1100; i++)
        {
            pool.Allocate(cpu, 2212, PoolGfp, out int handle);
            handles.Add(handle);
        }

        pool.Pages.Should().Be(600, "eleven lie in six frames");
        for (int i = 0; i < handles.Count; i += 2)
        {
            pool.Free(cpu, handles[i]);
        }

        long spare = pool.PagesToSpare;
        spare.Should().Be(300);
        pool.Compact(cpu).Should().Be(spare);
        (pool.Pages, pool.PagesCompacted, pool.PagesToSpare).Should().Be((300, 300, 0));
        machine.Verify();
    }

    [Fact]
    public void Frames_of_compressed_pages_move_when_their_range_is_needed()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithKernel("7.3"));
        Zsmalloc pool = new(machine, "test");
        Cpu cpu = machine.Cpus[0];
        byte[] bytes = new byte[3000];
        new Random(2).NextBytes(bytes);
        for (int i = 0; i < 12_000; i++)
        {
            pool.Allocate(cpu, bytes.Length, PoolGfp, out int handle);
            pool.Write(handle, bytes);
        }

        List<int> before = [];
        pool.AddFrames(before);
        long block = before.Select(pfn => pfn & ~511L).Distinct().Where(start => start < 0x7e00).First(start => machine.Cma.AllocContigRange(cpu, new Pfn(start), 512));

        List<int> after = [];
        pool.AddFrames(after);
        after.Should().HaveCount(before.Count).And.NotContain(pfn => (pfn & ~511L) == block);
        Enumerable.Range(1, 12_000).Should().OnlyContain(handle => IsHeld(pool, handle, bytes));
        ZsPages(machine).Should().Be(pool.Pages);
        machine.Verify();
    }

    [Fact]
    public void Without_memory_nothing_is_left_behind()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("96M").WithKernel("7.3"));
        Zsmalloc pool = new(machine, "test");
        Cpu cpu = machine.Cpus[0];
        Errno error;
        do
        {
            error = pool.Allocate(cpu, 2212, PoolGfp, out int handle);
            (handle > 0).Should().Be(error == Errno.None);
        }
        while (error == Errno.None && pool.Pages < 1 << 20);

        error.Should().Be(Errno.ENOMEM);
        (pool.Pages % 6).Should().Be(0);
        machine.Verify();
        pool.Allocate(cpu, PageGeometry.PageSize + 1, PoolGfp, out _).Should().Be(Errno.ENOSPC);
    }

    [Fact]
    public void A_zbud_frame_takes_two_objects_that_fit_together()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Zbud pool = new(machine);
        Cpu cpu = machine.Cpus[0];
        pool.Allocate(cpu, 2220, PoolGfp, out int large).Should().Be(Errno.None);
        pool.Allocate(cpu, 2220, PoolGfp, out int second).Should().Be(Errno.None);
        pool.Pages.Should().Be(2, "35 units of 64 bytes do not fit twice into 63: as recorded on 6.1");
        byte[] bytes = [.. Enumerable.Range(0, 1700).Select(i => (byte)i)];
        pool.Allocate(cpu, bytes.Length, PoolGfp, out int small).Should().Be(Errno.None);
        pool.Write(small, bytes);

        (pool.Pages, ZsPages(machine)).Should().Be((2, 0));
        Check(pool, small, bytes);
        machine.Verify();
        pool.Allocate(cpu, pool.LongestObject + 1, PoolGfp, out _).Should().Be(Errno.ENOSPC);
        pool.TryOldest(out int first, out int last).Should().BeTrue();
        (first, last).Should().Be((large, 0));
        pool.Free(cpu, second);
        pool.Free(cpu, small);
        pool.Free(cpu, large);
        pool.Pages.Should().Be(0);
        machine.Verify();
    }

    internal static MemSim.Kernels.KernelPersonality KernelPersonalityOf(string kernel) => MemSim.Kernels.KernelLines.All.Single(line => line.Name == kernel);

    private static long FreePages(Machine machine) => machine.Zones.Sum(zone => zone.FreePages + zone.Pcp.Sum(pcp => (long)pcp.Count));

    private static long ZsPages(Machine machine) => machine.Zones.Sum(zone => zone.Counters.ZsPages);

    private static void Check(ICompressedPool pool, int handle, byte[] bytes) => IsHeld(pool, handle, bytes).Should().BeTrue();

    private static bool IsHeld(ICompressedPool pool, int handle, byte[] bytes)
    {
        byte[] read = new byte[bytes.Length];
        pool.Read(handle, read);
        return read.AsSpan().SequenceEqual(bytes);
    }
}
