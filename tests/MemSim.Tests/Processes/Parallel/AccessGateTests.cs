using FluentAssertions;
using MemSim.Hardware;
using MemSim.Pages;
using Xunit;

namespace MemSim.Tests.Processes.Parallel;

/// <summary>An access of one CPU and a shootdown by another one: the flush is over only when no access uses the old entry.</summary>
public sealed class AccessGateTests
{
    private const int PageBytes = PageGeometry.PageSize;

    [Theory]
    [InlineData(Architecture.X86_64, false)]
    [InlineData(Architecture.X86_64, true)]
    [InlineData(Architecture.Arm64, false)]
    public void A_page_is_freed_only_when_the_access_that_translated_it_is_over(Architecture architecture, bool copies)
    {
        using Machine machine = Boot(architecture);
        (Process process, Process thread) = MakeThreads(machine);
        Cpu user = machine.Cpus[0];
        Cpu unmapper = machine.Cpus[1];
        VirtualAddress data;
        int pfn;
        using (user.Run(process))
        {
            data = process.Mm.Mmap(PageBytes, Prot.Read | Prot.Write);
            user.Write(data, 1L);
            pfn = (int)user.Translate(data).Pfn.Value;
            machine.Lru.Drain(user);
        }

        using ManualResetEventSlim inside = new();
        using ManualResetEventSlim goOn = new();
        CpuHold(user, inside, goOn);
        bool unmapped = false;
        Exception? failure = null;
        Thread writer = new(() => Catch(e => failure = e, () =>
        {
            using (user.Run(process))
            {
                if (copies)
                {
                    user.User.CopyToUser(data, BitConverter.GetBytes(0x5566L)).Should().Be(0);
                }
                else
                {
                    user.Write(data, 0x5566L);
                }
            }
        }));
        Thread other = new(() => Catch(e => failure = e, () =>
        {
            using (unmapper.Run(thread))
            {
                thread.Mm.Munmap(data, PageBytes).Should().Be(Errno.None);
            }

            Volatile.Write(ref unmapped, true);
        }));
        writer.Start();
        inside.Wait(TestContext.Current.CancellationToken);
        other.Start();
        SpinWait.SpinUntil(() => user.UseMmu().IsAwaited || Volatile.Read(ref unmapped));
        Volatile.Read(ref unmapped).Should().BeFalse("the access is not over");
        machine.Frames.FrameOf(pfn).RefCount.Should().BePositive("a page in use must not be freed");
        process.Mm.Tables.Lookup(data).IsPresent.Should().BeFalse("the entry is gone already");

        goOn.Set();
        writer.Join();
        other.Join();
        failure.Should().BeNull();
        ref PageFrame frame = ref machine.Frames.FrameOf(pfn);
        (frame.IsPcp || frame.IsBuddy || frame.RefCount == 0).Should().BeTrue($"the page is free: {frame.RefCount} references, mapped {frame.MapCount} times, {machine.Frames.FlagsOf(pfn)}");
        machine.Ram.Read<long>((ulong)pfn << 12).Should().Be(0x5566L, "the store came before the flush: it went where the page still was");
        using (user.Run(process))
        {
            user.Mmu.TryTranslate(data, MemoryAccess.Read, out _, out _).Should().BeFalse("the TLB has forgotten the page");
        }

        machine.Verify();
    }

    [Fact]
    public void Reclaim_waits_for_an_access_and_finds_the_page_dirty()
    {
        using Machine machine = Boot(Architecture.X86_64);
        using BlockDevice swap = new("zram0", "16M", BlockDeviceCosts.Memory);
        machine.Swap.SwapOn(swap).Succeeded.Should().BeTrue();
        (Process process, Process thread) = MakeThreads(machine);
        Cpu user = machine.Cpus[0];
        Cpu reclaimer = machine.Cpus[1];
        VirtualAddress data;
        using (user.Run(process))
        {
            data = process.Mm.Mmap(PageBytes, Prot.Read | Prot.Write);
            user.Write(data, 1L);
            process.Mm.Madvise(data, PageBytes, MemoryAdvice.PageOut).Should().Be(Errno.None);
            user.Read<long>(data).Should().Be(1, "it comes back, clean, and its slot in swap still holds it");
        }

        using ManualResetEventSlim inside = new();
        using ManualResetEventSlim goOn = new();
        CpuHold(user, inside, goOn);
        bool reclaimed = false;
        Exception? failure = null;
        Thread writer = new(() => Catch(e => failure = e, () =>
        {
            using (user.Run(process))
            {
                user.Write(data, 2L);
            }
        }));
        Thread other = new(() => Catch(e => failure = e, () =>
        {
            using (reclaimer.Run(thread))
            {
                thread.Mm.Madvise(data, PageBytes, MemoryAdvice.PageOut).Should().Be(Errno.None);
            }

            Volatile.Write(ref reclaimed, true);
        }));
        writer.Start();
        inside.Wait(TestContext.Current.CancellationToken);
        other.Start();
        SpinWait.SpinUntil(() => user.UseMmu().IsAwaited || Volatile.Read(ref reclaimed));
        Volatile.Read(ref reclaimed).Should().BeFalse();
        goOn.Set();
        writer.Join();
        other.Join();
        failure.Should().BeNull();
        using (user.Run(process))
        {
            user.Read<long>(data).Should().Be(2, "what was written while reclaim waited must not be lost");
        }

        machine.Verify();
    }

    [Fact]
    public void A_copy_that_faults_or_finds_nothing_leaves_the_gate()
    {
        using Machine machine = Boot(Architecture.X86_64);
        (Process process, Process thread) = MakeThreads(machine);
        Cpu user = machine.Cpus[0];
        VirtualAddress data;
        using (user.Run(process))
        {
            data = process.Mm.Mmap(2 * PageBytes, Prot.Read | Prot.Write);
            process.Mm.Munmap(data + PageBytes, PageBytes).Should().Be(Errno.None);
            user.User.CopyToUser(data, new byte[2 * PageBytes]).Should().Be(PageBytes, "the first page comes by a fault, the second one does not come");
            user.User.GetUser(data + PageBytes, out long _).Should().Be(Errno.EFAULT);
            user.User.PutUser(data, 7L).Should().Be(Errno.None);
        }

        using (machine.Cpus[1].Run(thread))
        {
            machine.Cpus[1].Read<long>(data).Should().Be(7);
            thread.Mm.Munmap(data, PageBytes).Should().Be(Errno.None, "nobody is inside");
        }

        machine.Verify();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_lazy_cpu_that_flushes_for_itself_still_makes_up_for_the_flush_it_was_spared(bool parallel)
    {
        using Machine machine = Boot(Architecture.X86_64, parallel);
        (Process process, Process thread) = MakeThreads(machine);
        Cpu lazy = machine.Cpus[0];
        Cpu other = machine.Cpus[1];
        VirtualAddress data;
        using (lazy.Run(process))
        {
            data = process.Mm.Mmap(2 * PageBytes, Prot.Read | Prot.Write);
            lazy.Write(data, 1L);
            lazy.Write(data + PageBytes, 2L);
        }

        using (other.Run(thread))
        {
            machine.Mmu.FlushPage(other, process.Mm.Tables, data);
            thread.Mm.Madvise(data, PageBytes, MemoryAdvice.DontNeed).Should().Be(Errno.None);
        }

        // Kernel work on the lazy CPU, such as reclaim, flushes another page of the same process.
        machine.Mmu.FlushPage(lazy, process.Mm.Tables, data + PageBytes);
        using (lazy.Run(process))
        {
            lazy.Read<long>(data).Should().Be(0, "the page was dropped");
        }
    }

    [Fact]
    public void A_call_that_names_no_cpu_is_refused_when_another_thread_drives_the_one_it_would_take()
    {
        using Machine machine = Boot(Architecture.X86_64);
        Process process = machine.CreateProcess("a");
        Process other = machine.CreateProcess("b");
        using ContextScope scope = machine.Cpus[0].Run(process);
        Exception? refused = null;
        Thread thread = new(() => Catch(e => refused = e, () => other.Mm.Mmap(PageBytes, Prot.Read)));
        thread.Start();
        thread.Join();
        refused.Should().BeOfType<InvalidOperationException>().Which.Message.Should().Contain("names no CPU");
        Thread named = new(() => Catch(e => refused = e, () =>
        {
            using ContextScope inner = machine.Cpus[1].Run(other);
            other.Mm.Mmap(PageBytes, Prot.Read).Succeeded.Should().BeTrue();
        }));
        refused = null;
        named.Start();
        named.Join();
        refused.Should().BeNull();
    }

    internal static Machine Boot(Architecture architecture, bool parallel = true)
    {
        MachineSpec spec = architecture == Architecture.Arm64 ? MachineSpec.Arm64("128M", 2) : MachineSpec.X86_64("128M", 2);
        return Machine.Boot(parallel ? spec.WithParallelCpus() : spec);
    }

    /// <summary>Two tasks on one address space, as threads are: one made by vfork.</summary>
    internal static (Process First, Process Second) MakeThreads(Machine machine)
    {
        Process process = machine.CreateProcess("test");
        using ContextScope scope = machine.Cpus[0].Run(process);
        return (process, process.Vfork());
    }

    /// <summary>The CPU's next access stops when it is translated.</summary>
    private static void CpuHold(Cpu cpu, ManualResetEventSlim inside, ManualResetEventSlim goOn)
    {
        CpuMmu mmu = cpu.UseMmu();
        mmu.InsideAccess = () =>
        {
            mmu.InsideAccess = null;
            inside.Set();
            goOn.Wait();
        };
    }

    private static void Catch(Action<Exception> failed, Action action)
    {
        try
        {
            action();
        }
        catch (Exception e)
        {
            failed(e);
        }
    }
}
