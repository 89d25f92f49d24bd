using FluentAssertions;
using MemSim.Hardware;
using MemSim.Observability;
using Xunit;

namespace MemSim.Tests.PageAllocation;

/// <summary>Which requests a rule of fault injection makes fail, and what the loop over all of them finds.</summary>
public sealed class FaultRuleTests : MachineTests
{
    private readonly Machine _machine;
    private readonly Cpu _cpu;

    public FaultRuleTests()
    {
        _machine = Boot(MachineSpec.X86_64("96M", cpus: 2));
        _cpu = _machine.Cpus[0];
    }

    [Fact]
    public void The_nth_every_nth_and_the_next_requests_fail()
    {
        FailuresOf(FaultRule.Nth(3)).Should().Equal(3);
        FailuresOf(FaultRule.EveryNth(4)).Should().Equal(4, 8, 12);
        FailuresOf(FaultRule.Next(2)).Should().Equal(1, 2);
        FailuresOf(new FaultRule { First = 5, Interval = 2, Times = 3 }).Should().Equal(6, 8, 10);
        FailuresOf(new FaultRule { Space = 5 }).Should().Equal(5, 6, 7, 8, 9, 10, 11, 12);
        FailuresOf(new FaultRule { Probability = 0 }).Should().BeEmpty();
    }

    [Fact]
    public void A_seed_repeats_its_failures_and_their_share_is_that_asked_for()
    {
        List<int> once = FailuresOf(FaultRule.AtRandom(30, seed: 7), 2000);
        once.Should().Equal(FailuresOf(FaultRule.AtRandom(30, seed: 7), 2000));
        once.Should().NotEqual(FailuresOf(FaultRule.AtRandom(30, seed: 8), 2000));
        once.Count.Should().BeInRange(540, 660);
    }

    [Theory]
    [InlineData(7UL)]
    [InlineData(0x9e3779b97f4a7c15)]
    public void What_a_seed_makes_fail_is_what_xorshift64_says(ulong seed)
    {
        List<int> expected = [];
        ulong state = seed;
        for (int i = 1; i <= 200; i++)
        {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            if ((state >> 11) / (double)(1UL << 53) < 0.3)
            {
                expected.Add(i);
            }
        }

        FailuresOf(FaultRule.AtRandom(30, seed), 200).Should().Equal(expected);
    }

    [Fact]
    public void Filters_find_one_request_among_many()
    {
        KernelTask task = new("victim", 77);
        KmemCache cache = _machine.Slab.CreateCache("wanted", 320);
        Fails(new FaultRule { MinOrder = 2, MaxOrder = 3 }, () => _cpu.AllocPages(Gfp.Kernel, 2).IsNull).Should().BeTrue();
        Fails(new FaultRule { MinOrder = 3 }, () => FreeNow(_cpu.AllocPages(Gfp.Kernel, 2), 2)).Should().BeFalse();
        Fails(new FaultRule { With = Gfp.Zero }, () => _cpu.AllocPages(Gfp.Kernel | Gfp.Zero).IsNull).Should().BeTrue();
        Fails(new FaultRule { With = Gfp.Zero }, () => FreeNow(_cpu.AllocPages(Gfp.Kernel))).Should().BeFalse();
        Fails(new FaultRule { Without = Gfp.DirectReclaim }, () => FreeNow(_cpu.AllocPages(Gfp.Kernel))).Should().BeFalse();
        Fails(new FaultRule { Without = Gfp.DirectReclaim }, () => _cpu.AllocPages(Gfp.Atomic).IsNull).Should().BeTrue();
        Fails(new FaultRule { Zone = ZoneType.Dma }, () => _cpu.AllocPages(Gfp.Kernel | Gfp.Dma).IsNull).Should().BeTrue();
        Fails(new FaultRule { Zone = ZoneType.Dma }, () => FreeNow(_cpu.AllocPages(Gfp.Kernel))).Should().BeFalse();
        Fails(new FaultRule { Cache = "wanted" }, () => _cpu.Alloc(cache, Gfp.Kernel).IsNull).Should().BeTrue();
        Fails(new FaultRule { Cache = "kmalloc-64" }, () => _cpu.Alloc(cache, Gfp.Kernel) is { IsNull: true }).Should().BeFalse();
        Fails(new FaultRule { CallSite = "rx_ring" }, () => In("rx_ring+0x1c", () => _cpu.AllocPages(Gfp.Kernel).IsNull)).Should().BeTrue();
        Fails(new FaultRule { CallSite = "rx_ring" }, () => In("rx_ring_2", () => FreeNow(_cpu.AllocPages(Gfp.Kernel)))).Should().BeFalse();
        Fails(new FaultRule { Task = task }, () => FreeNow(_cpu.AllocPages(Gfp.Kernel))).Should().BeFalse();
        using (_cpu.Run(task))
        {
            Fails(new FaultRule { Task = task }, () => _cpu.AllocPages(Gfp.Kernel).IsNull).Should().BeTrue();
            using (_cpu.HardIrq())
            {
                Fails(new FaultRule { Task = task }, () => FreeNow(_cpu.AllocPages(Gfp.Atomic))).Should().BeFalse("an interrupt is nobody's");
            }
        }
    }

    [Fact]
    public void Settings_of_the_kernel_mean_what_they_mean_there()
    {
        FaultRule pages = FaultRule.FailPageAlloc("10,100,0,-1");
        (pages.Interval, pages.Probability, pages.Space, pages.Times, pages.MinOrder, pages.Without).Should().Be((10L, 100.0, 0L, -1L, 1, Gfp.DirectReclaim | Gfp.HighMem));
        using (ArmedFault armed = _machine.FaultInjection.Arm(FaultRule.FailPageAlloc("1,100,0,1")))
        {
            FreeNow(_cpu.AllocPages(Gfp.Kernel, 3), 3).Should().BeFalse("ignore-gfp-wait is on");
            FreeNow(_cpu.AllocPages(Gfp.Atomic, 0), 0).Should().BeFalse("min-order is 1");
            FreeNow(_cpu.AllocPages(Gfp.Atomic, 1), 1).Should().BeTrue();
            FreeNow(_cpu.AllocPages(Gfp.Atomic, 1), 1).Should().BeFalse("once");
            armed.Faults.Should().ContainSingle().Which.ToString().Should().Be("fail_page_alloc: request 1, order 1, GFP_ATOMIC, by swapper/0:0");
        }

        FaultRule.FailSlab("1,50,4096,7").Points.Should().Be(FaultPoints.FailSlab);
        this.Invoking(_ => FaultRule.FailSlab("1,50")).Should().Throw<FormatException>().WithMessage("*interval,probability,space,times*");
        _machine.Invoking(m => m.FaultInjection.Arm(new FaultRule { First = 0 })).Should().Throw<ArgumentOutOfRangeException>();
    }

    [Fact]
    public void A_copy_from_or_to_a_process_fails_and_nothing_is_copied()
    {
        Process process = _machine.CreateProcess("driver");
        using (_cpu.Run(process))
        {
            VirtualAddress memory = process.Mm.Mmap(4096, Prot.Read | Prot.Write);
            _cpu.User.PutUser(memory, 7).Should().Be(Errno.None);
            Span<byte> bytes = [1, 2, 3, 4];
            using (ArmedFault armed = _machine.FaultInjection.Arm(FaultRule.FailUsercopy("1,100,0,2")))
            {
                _cpu.User.CopyFromUser(bytes, memory).Should().Be(4);
                bytes.ToArray().Should().Equal(0, 0, 0, 0);
                _cpu.User.CopyToUser(memory, [9, 9]).Should().Be(2);
                _cpu.User.GetUser(memory, out int value).Should().Be(Errno.None, "get_user() is no copy");
                value.Should().Be(7);
                _cpu.User.CopyFromUser(bytes, memory).Should().Be(0, "twice is enough");
                armed.Faults.Select(f => f.ToString()).Should().Equal($"fail_usercopy: request 1, 4 bytes, by driver:{process.Pid}", $"fail_usercopy: request 2, 2 bytes, by driver:{process.Pid}");
            }

            using (_machine.FaultInjection.Arm(FaultRule.FailUsercopy("1,100,3,-1")))
            {
                Enumerable.Range(0, 5).Select(_ => _cpu.User.CopyToUser(memory, [1])).Should().Equal([0, 0, 1, 1, 1], "space counts copies");
            }

            using (_machine.FaultInjection.Arm(FaultRule.EveryNth(1)))
            {
                _cpu.User.CopyToUser(memory, [1]).Should().Be(0, "a rule is about allocations where nothing else is said");
            }
        }
    }

    [Theory]
    [InlineData("fail_page_alloc=1,100,0,2", FaultPoints.FailPageAlloc)]
    [InlineData("failslab=1,100,0,2", FaultPoints.FailSlab)]
    [InlineData("fail_usercopy=1,100,0,2", FaultPoints.FailUsercopy)]
    public void A_boot_parameter_arms_a_rule_once_the_boot_is_over(string parameter, FaultPoints point)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("96M").WithCommandLine(parameter));
        Cpu cpu = machine.Cpus[0];
        ArmedFault armed = machine.FaultInjection.Armed.Should().ContainSingle().Subject;
        (armed.Rule.Points, armed.Rule.Times, armed.Seen).Should().Be((point, 2L, 0L));
        machine.Warnings.Should().BeEmpty();
        bool[] failed = [.. Enumerable.Range(0, 4).Select(_ => point switch
        {
            FaultPoints.FailPageAlloc => cpu.AllocPages(Gfp.Atomic, order: 1).IsNull,
            FaultPoints.FailSlab => cpu.Kmalloc(100, Gfp.Atomic).IsNull,
            _ => cpu.User.CopyFromUser(new byte[4], default) != 0,
        })];
        failed.Should().Equal(true, true, point == FaultPoints.FailUsercopy, point == FaultPoints.FailUsercopy); // address 0 is nobody's

        armed.Failed.Should().Be(2);
        armed.Dispose();
        machine.FaultInjection.Armed.Should().BeEmpty();
    }

    [Fact]
    public void A_request_that_must_not_fail_does_not()
    {
        Fails(FaultRule.EveryNth(1), () => FreeNow(_cpu.AllocPages(Gfp.Kernel | Gfp.NoFail))).Should().BeFalse();
        string? before = _machine.Reports.LastAllocationFailure;
        Fails(FaultRule.EveryNth(1), () => _cpu.AllocPages(Gfp.Kernel).IsNull).Should().BeTrue();
        _machine.Reports.LastAllocationFailure.Should().Be(before, "a failure on purpose is no shortage");
    }

    [Fact]
    public void Nothing_fails_any_more_when_the_rule_is_gone_and_the_fast_path_is_back()
    {
        using (_machine.FaultInjection.Arm(FaultRule.EveryNth(1)))
        {
            _machine.FaultInjection.IsArmed.Should().BeTrue();
            _cpu.Mode.Should().Be(CpuMode.Special);
        }

        _machine.FaultInjection.IsArmed.Should().BeFalse();
        _cpu.Mode.Should().NotBe(CpuMode.Special);
        FreeNow(_cpu.AllocPages(Gfp.Kernel)).Should().BeFalse();
    }

    [Fact]
    public void The_loop_ends_when_nothing_is_left_to_fail_and_says_what_failed()
    {
        IReadOnlyList<InjectedFault> faults = _machine.FaultInjection.Each(() =>
        {
            Page first = _cpu.AllocPages(Gfp.Kernel, 1);
            Page second = _cpu.AllocPages(Gfp.Atomic);
            _cpu.FreePages(first, 1);
            _cpu.FreePages(second);
        });
        faults.Select(f => f.Order).Should().Equal(1, 0);
    }

    [Fact]
    public void The_loop_finds_what_is_forgotten_on_an_error_path_and_names_the_failure()
    {
        FaultLoopException found = _machine.Invoking(m => m.FaultInjection.Each(() =>
        {
            using CallSiteScope site = _cpu.CallSite("probe+0x10");
            VirtualAddress buffer = _cpu.Kmalloc(200, Gfp.Kernel);
            Page ring = _cpu.AllocPages(Gfp.Kernel, 2);
            if (ring.IsNull)
            {
                return;
            }

            _cpu.FreePages(ring, 2);
            _cpu.Kfree(buffer);
        })).Should().Throw<FaultLoopException>().Which;

        found.Fault!.Order.Should().Be(2);
        found.Fault.CallSite.Should().Be("probe+0x10");
        found.InnerException.Should().BeOfType<LeakException>().Which.Report.Objects.Should().ContainSingle().Which.Cache.Name.Should().Be("kmalloc-256");
        _machine.FaultInjection.IsArmed.Should().BeFalse();
    }

    [Fact]
    public void The_loop_passes_on_what_the_action_throws_and_gives_up_where_there_is_no_end()
    {
        _machine.Invoking(m => m.FaultInjection.Each(() => _cpu.AllocPages(Gfp.Kernel).Address.Should().NotBe(default(VirtualAddress)))).Should().Throw<FaultLoopException>()
            .Which.Fault!.Point.Should().Be(FaultPoints.FailPageAlloc);
        int runs = 0;
        _machine.Invoking(m => m.FaultInjection.Each(() =>
        {
            runs++;
            for (int i = 0; i <= runs; i++)
            {
                _cpu.FreePages(_cpu.AllocPages(Gfp.Kernel));
            }
        }, atMost: 20)).Should().Throw<FaultLoopException>().WithMessage("after 20 runs*");
    }

    private List<int> FailuresOf(FaultRule rule, int requests = 12)
    {
        List<int> failed = [];
        using ArmedFault armed = _machine.FaultInjection.Arm(rule);
        for (int i = 1; i <= requests; i++)
        {
            if (FreeNow(_cpu.AllocPages(Gfp.Kernel)))
            {
                failed.Add(i);
            }
        }

        armed.Seen.Should().Be(requests);
        armed.Failed.Should().Be(failed.Count);
        return failed;
    }

    /// <summary>Frees a block; whether there was none.</summary>
    private bool FreeNow(Page page, int order = 0)
    {
        _cpu.FreePages(page, order);
        return page.IsNull;
    }

    private bool In(string site, Func<bool> request)
    {
        using CallSiteScope scope = _cpu.CallSite(site);
        return request();
    }

    private bool Fails(FaultRule rule, Func<bool> request)
    {
        using ArmedFault armed = _machine.FaultInjection.Arm(rule);
        bool failed = request();
        failed.Should().Be(armed.Failed != 0);
        return failed;
    }
}
