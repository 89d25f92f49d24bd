namespace MemSim.Soak;

/// <content>What is done to the machine as a whole.</content>
internal sealed partial class SoakMachine
{
    private bool _failedLately;

    private void DoToMachine(Cpu cpu, Step step)
    {
        switch (step.Kind)
        {
            case StepKind.DropCaches:
                _machine.Sysctl.Set("vm.drop_caches", (1 + (step.A % 3)).ToString(System.Globalization.CultureInfo.InvariantCulture));
                break;
            case StepKind.SwapOnOff:
                SwitchSwap(cpu);
                break;
            case StepKind.ResizeHugePages:
                _ = _machine.Hugetlb.Pool.Resize(cpu, step.A % 6);
                break;
            case StepKind.SwitchHugePages:
                if (_machine.HugePages.IsAvailable)
                {
                    _machine.HugePages.Enabled = (TransparentHugePages)(1 + (step.A % 3));
                }

                break;
            case StepKind.Sysctl:
                SetSysctl(step);
                break;
            case StepKind.OfflineBlock or StepKind.OnlineBlock or StepKind.PlugIn or StepKind.PullOut:
                Plug(cpu, step);
                break;
            case StepKind.SwitchCpu:
                if (_machine.Cpus[1].IsOnline)
                {
                    _machine.Hotplug.OfflineCpu(1);
                }
                else
                {
                    _machine.Hotplug.OnlineCpu(1);
                }

                break;
            case StepKind.Compact:
                _machine.Sysctl.Set("vm.compact_memory", "1");
                break;
            case StepKind.PassTime:
                _machine.AdvanceTime(TimeSpan.FromMilliseconds(step.A % 2000));
                break;
            case StepKind.Fail:
                _machine.FaultInjection.Clear();
                _ = _machine.FaultInjection.Arm(FaultRule.AtRandom(1 + (step.A % 30), step.B + 1));
                _failingFor = 1 + (int)(step.C % 40);
                _failedLately = true;
                break;
            case StepKind.DrainPages:
                _machine.Memory.DrainAllPages();
                break;
            case StepKind.ShrinkCache:
                if (_caches.Count != 0)
                {
                    _ = _machine.Slab.ShrinkCache(_caches[(int)(step.A % (uint)_caches.Count)], cpu);
                }

                break;
            case StepKind.Spoil:
                if (_blocks.Find(block => block.Mapped) is { } spoilt)
                {
                    cpu.Write(spoilt.Page.Address, -1L);
                }

                break;
            case StepKind.Snapshot:
                CompareSnapshot();
                break;
            default:
                Verify();
                break;
        }
    }

    private void SwitchSwap(Cpu cpu)
    {
        if (_swap is { } area)
        {
            Errno off = _machine.Swap.SwapOff(cpu, area);
            _swap = off == Errno.None ? null : area;
            _tally.Failed += off == Errno.None ? 0 : 1;
        }
        else
        {
            Result<SwapArea> on = _machine.Swap.SwapOn(_swapDevice);
            _swap = on.Succeeded ? on.Value : null;
            _tally.Failed += on.Succeeded ? 0 : 1;
        }
    }

    private void SetSysctl(Step step)
    {
        (string name, uint least, uint most)[] all =
        [
            ("vm.min_free_kbytes", 500, 6000), ("vm.watermark_scale_factor", 10, 300), ("vm.swappiness", 0, 200), ("vm.percpu_pagelist_high_fraction", 8, 200), ("vm.vfs_cache_pressure", 50, 200),
            ("vm.overcommit_memory", 0, 1), ("vm.watermark_boost_factor", 0, 20000), ("vm.extfrag_threshold", 0, 1000), ("vm.compact_unevictable_allowed", 0, 1), ("vm.dirty_ratio", 5, 60),
        ];
        (string name, uint least, uint most) = all[step.A % (uint)all.Length];
        _machine.Sysctl.Set(name, (least + (step.B % (most - least + 1))).ToString(System.Globalization.CultureInfo.InvariantCulture));
    }

    private void Plug(Cpu cpu, Step step)
    {
        MemoryHotplug memory = _machine.Hotplug.Memory;
        IReadOnlyList<MemoryBlock> blocks = memory.Blocks;
        if (blocks.Count == 0)
        {
            return;
        }

        MemoryBlock block = blocks[(int)(step.A % (uint)blocks.Count)];
        Errno result = step.Kind switch
        {
            StepKind.OfflineBlock => memory.Offline(block.Id, cpu),
            StepKind.OnlineBlock => memory.Online(block.Id, (MemoryOnlineType)(step.B % 3), cpu),
            StepKind.PullOut => memory.Remove(block.Id, cpu),
            _ => memory.Add(ByteSize.FromMiB(128), out _, 0, cpu),
        };
        if (result == Errno.None)
        {
            _tally.BlocksMoved++;
            Verify();
        }
        else
        {
            _tally.Failed++;
        }
    }

    /// <summary>A machine booted from a snapshot has the same pages with the same contents, and passes its own checks.</summary>
    private void CompareSnapshot()
    {
        using Machine twin = _machine.Snapshot().Boot();
        twin.Verify();
        foreach (Block block in _blocks)
        {
            if (block.Mapped)
            {
                Require(twin.Cpus[0].Read<long>(block.Page.Address) == block.Token, $"{block.Page} has other contents in a machine booted from a snapshot");
            }
        }
    }
}
