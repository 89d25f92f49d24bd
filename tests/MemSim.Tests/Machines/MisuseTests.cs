using System.Diagnostics;
using System.Reflection;
using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Machines;

/// <summary>What nobody should do, and what the machine answers: a word, and everything as it was.</summary>
public sealed class MisuseTests
{
    [Fact]
    public void A_process_that_has_ended_makes_no_children_and_leaks_none()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 1));
        Process parent = machine.CreateProcess("parent");
        parent.Exit();
        string before = Text(machine);

        for (int i = 0; i < 3; i++)
        {
            parent.Fork().Error.Should().Be(Errno.ESRCH);
            parent.Vfork().Error.Should().Be(Errno.ESRCH);
            parent.Exec("new").Should().Be(Errno.ESRCH);
            parent.Exit();
            parent.Kill();
        }

        machine.Processes.Should().BeEmpty();
        Text(machine).Should().Be(before);
        machine.CreateProcess("next").Pid.Should().Be(parent.Pid + 1, "no number was used up");
        machine.Verify();
    }

    [Fact]
    public void Every_call_on_an_address_space_that_was_given_up_answers_ESRCH()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 1));
        using BlockDevice disk = new("disk", "4M");
        OpenFile file = machine.Files.Mount(disk).Create("file").Value;
        Process process = machine.CreateProcess("gone");
        MemoryDescriptor mm = process.Mm;
        VirtualAddress at = mm.Mmap(8192, Prot.Read | Prot.Write).Value;
        process.Exit();
        string before = Text(machine);

        mm.IsGone.Should().BeTrue();
        mm.Mmap(4096, Prot.Read).Error.Should().Be(Errno.ESRCH);
        mm.Mmap(default, 4096, Prot.Read, MapFlags.Private, file).Error.Should().Be(Errno.ESRCH);
        mm.Mremap(at, 8192, 4096).Error.Should().Be(Errno.ESRCH);
        mm.Brk(at).Error.Should().Be(Errno.ESRCH);
        mm.Munmap(at, 4096).Should().Be(Errno.ESRCH);
        mm.Mprotect(at, 4096, Prot.Read).Should().Be(Errno.ESRCH);
        mm.Madvise(at, 4096, MemoryAdvice.DontNeed).Should().Be(Errno.ESRCH);
        mm.Mbind(at, 4096, null).Should().Be(Errno.ESRCH);
        mm.Msync(at, 4096, SyncFlags.Sync).Should().Be(Errno.ESRCH);
        mm.Mlock(at, 4096).Should().Be(Errno.ESRCH);
        mm.Munlock(at, 4096).Should().Be(Errno.ESRCH);
        mm.MlockAll(LockAll.Future).Should().Be(Errno.ESRCH);
        mm.MunlockAll();
        mm.FindVma(at).Should().BeNull();
        mm.TotalPages.Should().Be(0);

        Text(machine).Should().Be(before);
        machine.Verify();
    }

    [Fact]
    public void Reclaim_is_never_nobody()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 1));
        IReclaim reclaim = machine.Reclaim.Policy;
        machine.Invoking(m => m.Reclaim.Policy = null!).Should().Throw<ArgumentNullException>();
        machine.Reclaim.Policy.Should().BeSameAs(reclaim);
        machine.Cpus[0].AllocateAll(Gfp.Kernel).Should().NotBeEmpty("memory runs out in the ordinary way");
    }

    [Fact]
    public void A_freed_per_cpu_variable_cannot_be_used_any_more()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 2));
        Cpu cpu = machine.Cpus[0];
        PerCpuVar<long> variable = cpu.PerCpu.AllocPercpu<long>();
        variable[1] = 5;
        cpu.PerCpu.FreePercpu(variable);

        FluentActions.Invoking(() => variable[1] = 6).Should().Throw<KernelBugException>().Which.Kind.Should().Be(KernelBugKind.NotAllocated);
        FluentActions.Invoking(() => cpu.PerCpu.GetCpuVar(variable) = 6).Should().Throw<KernelBugException>();
        FluentActions.Invoking(() => cpu.PerCpu.Of(variable, 1)).Should().Throw<KernelBugException>();
        cpu.Context.InAtomic.Should().BeFalse("preemption was not left off");
        FluentActions.Invoking(() => cpu.PerCpu.FreePercpu(variable)).Should().Throw<KernelBugException>();
        machine.Verify();
    }

    [Fact]
    public void Named_per_cpu_variables_are_found_by_name_and_size()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 1));
        machine.PerCpu.Define("counter", 7);
        machine.PerCpu.Get<int>("counter")[0].Should().Be(7);
        machine.PerCpu.Invoking(p => p.Get<int>("unknown")).Should().Throw<ArgumentException>().WithMessage("*no per-CPU variable 'unknown'*");
        machine.PerCpu.Invoking(p => p.Get<long>("counter")).Should().Throw<ArgumentException>().WithMessage("*4 bytes*");
    }

    [Fact]
    public void Caches_are_not_created_where_nothing_may_sleep()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 2));
        int caches = machine.Slab.Caches.Count;
        using (machine.Cpus[0].HardIrq())
        {
            machine.Slab.Invoking(s => s.CreateCache("things", 64)).Should().Throw<KernelBugException>().Which.Kind.Should().Be(KernelBugKind.SleepingInAtomic);
        }

        machine.Slab.Caches.Should().HaveCount(caches);
        machine.Slab.CreateCache("things", 64).Should().NotBeNull();
    }

    [Fact]
    public void A_pool_for_more_elements_than_memory_has_costs_the_host_nothing()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 1));
        long live = machine.Slab.FindLiveObjects().Sum(o => o.Count);
        long host = GC.GetAllocatedBytesForCurrentThread();
        machine.Slab.CreateMempool(int.MaxValue, 64).Should().BeNull("no memory holds it");
        (GC.GetAllocatedBytesForCurrentThread() - host).Should().BeLessThan(256 << 20);
        machine.Slab.CreateMempool(400_000, 1024).Should().BeNull("its table fits, its elements do not");
        machine.Slab.FindLiveObjects().Sum(o => o.Count).Should().Be(live);
        machine.Verify();
    }

    [Fact]
    public void All_of_time_passes_at_once()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 1));
        using BlockDevice disk = new("disk", "4M");
        OpenFile file = machine.Files.Mount(disk).Create("file").Value;
        Cpu cpu = machine.Cpus[0];
        cpu.Files.Write(file, 0, new byte[4096]);
        disk.Vanish();
        machine.Compaction.CompactMemory();
        Process process = machine.CreateProcess("huge");
        machine.HugePages.Enabled = TransparentHugePages.Always;
        using (cpu.Run(process))
        {
            cpu.Write(process.Mm.Mmap(8 << 20, Prot.Read | Prot.Write).Value, 1);
        }

        Stopwatch watch = Stopwatch.StartNew();
        machine.Invoking(m => m.AdvanceTime(TimeSpan.MaxValue)).Should().Throw<ArgumentOutOfRangeException>();
        machine.AdvanceTime(TimeSpan.FromDays(365 * 250));
        _ = machine.Reclaim.Pressure.Average(full: false, 300);
        machine.Invoking(m => m.AdvanceTime(TimeSpan.FromDays(365 * 250))).Should().Throw<ArgumentOutOfRangeException>("the clock would run over");
        watch.Elapsed.Should().BeLessThan(TimeSpan.FromSeconds(20));
        machine.Uptime.Should().BeGreaterThanOrEqualTo(TimeSpan.FromDays(365 * 250));
        machine.HugePages.Khugepaged.FullScans.Should().BeGreaterThan(1_000_000, "it went round all the time");
        machine.Verify();
    }

    [Fact]
    public void A_buffer_of_a_machine_that_is_gone_can_be_given_back()
    {
        System.Buffers.IMemoryOwner<byte> buffer;
        using (Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 1)))
        {
            using SlabMemoryPool pool = new(machine.Cpus[0]);
            buffer = pool.Rent(100);
            buffer.Memory.Span[0] = 1;
        }

        buffer.Invoking(b => b.Dispose()).Should().NotThrow("Dispose must not throw");
        buffer.Invoking(b => b.Memory.Span[0]).Should().Throw<ObjectDisposedException>();
    }

    [Fact]
    public void A_null_argument_is_named_whatever_the_method()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 1));
        Cpu cpu = machine.Cpus[0];
        List<string> wrong = [];
        foreach (object target in new object[] { machine, cpu, machine.Slab, machine.PerCpu, machine.Mmu, machine.HugePages, machine.Swap, machine.Stacks, machine.Memory.Fixmap, machine.Proc, machine.Files.MountTmpfs() })
        {
            foreach (MethodInfo declared in target.GetType().GetMethods(BindingFlags.Public | BindingFlags.Instance).Where(m => m.DeclaringType!.Assembly == typeof(Machine).Assembly))
            {
                ParameterInfo[] parameters = declared.GetParameters();
                if (declared.IsSpecialName || parameters.Any(p => p.ParameterType.IsByRefLike || p.ParameterType.IsByRef))
                {
                    continue;
                }

                foreach (ParameterInfo parameter in parameters.Where(p => !p.ParameterType.IsValueType && !p.HasDefaultValue && !IsNullable(p)))
                {
                    MethodInfo method = declared.IsGenericMethodDefinition ? declared.MakeGenericMethod(typeof(int)) : declared;
                    object?[] arguments = [.. method.GetParameters().Select(p => p.Position == parameter.Position ? null : Plain(p, cpu))];
                    Exception? thrown = null;
                    try
                    {
                        method.Invoke(target, arguments);
                    }
                    catch (TargetInvocationException e)
                    {
                        thrown = e.InnerException;
                    }

                    if (thrown is not ArgumentException)
                    {
                        wrong.Add($"{target.GetType().Name}.{method.Name}({parameter.Name}): {thrown?.GetType().Name ?? "nothing"}");
                    }
                }
            }
        }

        wrong.Should().BeEmpty();
        machine.Verify();
    }

    [Fact]
    public void No_default_value_throws_when_printed()
    {
        List<string> wrong = [];
        foreach (Type type in typeof(Machine).Assembly.GetExportedTypes().Where(t => t.IsValueType && !t.IsByRefLike))
        {
            Type closed = type.IsGenericTypeDefinition ? type.MakeGenericType([.. type.GetGenericArguments().Select(_ => typeof(int))]) : type;
            try
            {
                _ = Activator.CreateInstance(closed)!.ToString();
            }
            catch (Exception e)
            {
                wrong.Add($"{closed.Name}: {e.Message}");
            }
        }

        wrong.Should().BeEmpty();
    }

    [Fact]
    public void Things_of_a_machine_that_is_gone_can_still_be_printed()
    {
        List<object> things;
        using BlockDevice disk = new("disk", "4M");
        using BlockDevice swap = new("swap", "4M");
        using (Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 1).WithCma("camera", "16M")))
        {
            Cpu cpu = machine.Cpus[0];
            Process process = machine.CreateProcess("process");
            KmemCache cache = machine.Slab.CreateCache("things", 64);
            VirtualAddress obj = cpu.Alloc(cache, Gfp.Kernel);
            machine.Memory.Fixmap.ToString().Should().NotBeNull();
            things =
            [
                machine, cpu, cpu.AllocPages(Gfp.Kernel), machine.Zones[0], machine.Nodes[0], cpu.Current, process, process.Mm, process.Mm.Areas.First(), process.Stack!, cache,
                machine.Slab.DescribeSlabAt(obj)!, machine.Memory.Fixmap, machine.Mmu.Kernel, machine.Cma.Get("camera")!, machine.AddressSpace, machine.Swap.SwapOn(swap).Value, machine.Proc, machine.Stacks,
                machine.Files.Mount(disk).Create("file").Value, machine.Mmu.BootPhases[0], machine.Explain(Gfp.Kernel), new DmaBuffer(machine.Hotplug.AddDevice("camera"), default, 0, null),
            ];
        }

        things.ForEach(thing => thing.Invoking(t => t.ToString()).Should().NotThrow($"{thing.GetType().Name} is only printed"));
    }

    private static bool IsNullable(ParameterInfo parameter) => new NullabilityInfoContext().Create(parameter).WriteState == NullabilityState.Nullable;

    private static object? Plain(ParameterInfo parameter, Cpu cpu)
    {
        Type type = parameter.ParameterType;
        return parameter.HasDefaultValue ? (parameter.DefaultValue ?? (type.IsValueType ? Activator.CreateInstance(type) : null))
            : type == typeof(Cpu) ? cpu
            : type == typeof(string) ? "name"
            : type == typeof(Gfp) ? Gfp.Kernel
            : type == typeof(int) ? 1
            : type == typeof(long) ? 1L
            : type.IsValueType ? Activator.CreateInstance(type)
            : null;
    }

    private static string Text(Machine machine) => $"{machine.StateText()}\n{machine.Slab.SlabInfo}\n{machine.Proc.VmallocInfo}\n{machine.Mmu.TablePages}";
}
